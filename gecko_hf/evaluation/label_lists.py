"""A classification task's labels as lists, which mteb then reads once and not row by row.

mteb hands a data set's label column to scikit-learn's measures, which read it some sixty times for each of ten classifiers. The
column of `datasets` is lazy and decodes every row anew each time, which can take far longer than the classifiers.
A list says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import datasets
from mteb.abstasks.abstask import AbsTask
from mteb.abstasks.classification import AbsTaskClassification


class LabelLists(datasets.Dataset):  # type: ignore[misc]
    """Rows whose columns of labels are handed out as lists; texts, images and sounds stay where they are.

    Args:
        rows: The rows.
        column: The column of labels.
    """

    def __init__(self, rows: datasets.Dataset, column: str) -> None:
        super().__init__(rows.data, rows.info, rows.split, rows._indices, rows._fingerprint)
        self._labels = column

    def __getitem__(self, key: Any) -> Any:
        """As `datasets.Dataset`, but for the labels."""
        found = super().__getitem__(key)
        return found[:] if isinstance(key, str) and key == self._labels else found


def with_label_lists(task: AbsTask) -> None:
    """Let a loaded classification task read its labels as lists; any other task is left as it is."""
    if isinstance(task, AbsTaskClassification) and task.dataset is not None:
        task.dataset = _of(task.dataset, task.label_column_name)


def _of(data: Any, column: str) -> Any:
    if isinstance(data, datasets.Dataset):
        return LabelLists(data, column) if column in data.column_names else data
    if not isinstance(data, Mapping):  # streamed rows, for one, which have no columns
        return data
    parts = {name: _of(part, column) for name, part in data.items()}
    return datasets.DatasetDict(parts) if isinstance(data, datasets.DatasetDict) else parts
