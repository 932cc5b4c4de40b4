"""A classification task's labels are read once, and its scores are mteb's."""

import datasets
import numpy as np
import pytest
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.sts import AbsTaskSTS

from gecko_hf.evaluation.label_lists import LabelLists, with_label_lists
from gecko_hf.evaluation.local_task import local_task

ROWS = {"text": [f"text {i}" for i in range(40)], "label": [i % 3 for i in range(40)], "image": [b"x"] * 40}


def split(rows=ROWS) -> datasets.Dataset:
    return datasets.Dataset.from_dict(rows)


def task(data, base=AbsTaskClassification, task_type="Classification"):
    made = local_task(base, task_type, "made-up", "Made up.", lambda: data, splits=["test"], revision="1")
    made.load_data()
    with_label_lists(made)
    return made


@pytest.mark.parametrize("subsets", [False, True])
def test_labels_are_lists_in_every_split_and_subset(subsets):
    data = datasets.DatasetDict({"train": split(), "test": split()})
    read = task({"default": data} if subsets else data).dataset
    splits = read["default"] if subsets else read
    assert {name: part["label"] for name, part in splits.items()} == {"train": ROWS["label"], "test": ROWS["label"]}
    assert isinstance(splits, datasets.DatasetDict)


def test_other_columns_stay_on_disk():
    assert isinstance(LabelLists(split(), "label")["image"], datasets.arrow_dataset.Column)


def test_rows_stay_in_the_order_that_they_were_chosen_in():
    rows = LabelLists(split().select([7, 2, 2]), "label")
    assert rows["label"] == [1, 2, 2]
    assert rows[0] == {"text": "text 7", "label": 1, "image": b"x"}
    assert rows[np.array([1, 0])]["text"] == ["text 2", "text 7"]


def test_labels_stay_lists_when_columns_are_left_out():
    """mteb does so before it reads them."""
    data = task(datasets.DatasetDict({"test": split()})).dataset
    assert data.select_columns(["text", "label"])["test"]["label"] == ROWS["label"]


def test_other_tasks_are_left_as_they_are():
    data = datasets.DatasetDict({"test": split({"sentence1": ["a"], "sentence2": ["b"], "score": [1.0]})})
    assert task(data, AbsTaskSTS, "STS").dataset is data


def test_rows_that_have_no_columns_are_left_as_they_are():
    streamed = split().to_iterable_dataset()
    assert task({"test": streamed, "train": split()}).dataset["test"] is streamed
