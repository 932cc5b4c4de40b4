"""Test sets in the forms in which people have them, and what counts as an overlap."""

import json
import re

import datasets
import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.evaluation.score import retrieval_task
from gecko_hf.evaluation.yardstick import YardstickQuery
from gecko_hf.fret.decontaminate import TestSets, check_test_sets, load_test_sets, task_texts
from gecko_hf.fret.recipe import QualityRecipe

TEXT = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("Before. Two, three four five six seven EIGHT nine ten eleven twelve thirteen fourteen!", "13 words in a row of Exam"),
        ("two three four five six seven eight nine ten eleven twelve thirteen and", None),  # twelve in a row
        ("a short question", "nearly identical to a text of Quiz"),
        ("A short question?", "nearly identical to a text of Quiz"),
        ("a short answer", None),
        ("", None),
    ],
)  # fmt: skip
def test_thirteen_words_in_a_row_or_near_identity(text, match):
    assert TestSets([("Exam", TEXT), ("Quiz", "a short question")]).match(text) == match


def test_a_folder_gives_the_texts_of_its_jsonl_and_parquet_files(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"n": 1, "question": "where is it"}) + "\n")
    datasets.Dataset.from_dict({"q": ["when was it"]}).to_parquet(tmp_path / "b.parquet")
    tests = load_test_sets(QualityRecipe(test_sets=[str(tmp_path)]))
    assert tests.match("where is it?") == tests.match("When was it") == f"nearly identical to a text of {tmp_path.name}"


def test_a_test_set_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "exam").mkdir()
    (tmp_path / "exam" / "a.jsonl").write_text(json.dumps({"question": "where is it"}) + "\n")
    recipe = QualityRecipe(test_sets=["~/exam"])
    check_test_sets(recipe)
    assert load_test_sets(recipe).match("Where is it?") == "nearly identical to a text of exam"


def test_a_test_set_at_the_home_of_nobody_is_refused():
    with pytest.raises(RecipeError, match="there is no home folder of that user"):
        check_test_sets(QualityRecipe(test_sets=["~no-such-user/exam.jsonl"]))


def test_a_beir_folder_gives_its_queries_and_its_relevant_documents(tmp_path):
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "which query"}) + "\n")
    documents = [
        {"_id": "d1", "title": "", "text": "asked about"},
        {"_id": "d2", "title": "", "text": "never asked about"},
    ]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t1\nq\td2\t0\n")
    tests = load_test_sets(QualityRecipe(test_sets=[str(tmp_path)]))
    assert [bool(tests.match(t)) for t in ("which query", "asked about", "never asked about")] == [True, True, False]


def test_an_mteb_retrieval_task_gives_its_queries_and_its_relevant_documents(passages):
    task = retrieval_task("Small", "x", passages, [YardstickQuery("q", "about ovens", [passages[0].id], "test")])
    assert sorted(task_texts(task)) == sorted(["about ovens", passages[0].text])


def test_what_an_mteb_retrieval_task_judges_irrelevant_is_none_of_its_texts():
    data = {
        "queries": datasets.Dataset.from_dict({"id": ["q"], "text": ["which query"]}),
        "corpus": datasets.Dataset.from_dict({"id": ["d1", "d2"], "text": ["asked about", "never asked about"]}),
        "relevant_docs": {"q": {"d1": 1, "d2": 0}},
    }
    task = type("Task", (), {"eval_splits": ["test"], "dataset": {"en": {"test": data}}})
    assert list(task_texts(task)) == ["which query", "asked about"]


@pytest.mark.parametrize("subsets", [False, True])
def test_another_mteb_task_gives_every_text_column_of_its_test_split(subsets):
    split = datasets.DatasetDict(
        {"test": datasets.Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "score": [1.0]})}
    )
    task = type("Task", (), {"eval_splits": ["test"], "dataset": {"en": split} if subsets else split})
    assert list(task_texts(task)) == ["a", "b"]


def test_a_reranking_task_gives_the_passages_of_its_lists_too():
    rows = {"query": ["q"], "positive": [["gold"]], "negative": [["near", "far"]]}
    split = datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows)})
    assert list(task_texts(type("Task", (), {"eval_splits": ["test"], "dataset": split}))) == [
        "q",
        "gold",
        "near",
        "far",
    ]


def test_large_texts_and_lists_of_lists_are_read():
    kinds = datasets.Features(
        {"a": datasets.Value("large_string"), "b": datasets.List(datasets.List(datasets.Value("string")))}
    )
    rows = {"a": ["one", None], "b": [[["two"], ["three", "four"]], []]}
    split = datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows, features=kinds)})
    found = task_texts(type("Task", (), {"eval_splits": ["test"], "dataset": split}))
    assert list(found) == ["one", "two", "three", "four"]


def test_a_task_of_mteb_without_text_is_refused(monkeypatch):
    split = datasets.DatasetDict({"test": datasets.Dataset.from_dict({"image": [1]})})
    task = type("Task", (), {"eval_splits": ["test"], "dataset": split, "load_data": lambda self: None})
    monkeypatch.setattr("mteb.get_task", lambda name: task())
    with pytest.raises(RecipeError, match="task Pictures of mteb has no text in its splits test"):
        load_test_sets(QualityRecipe(test_sets=["Pictures"]))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.csv": "text\nhello\n"}, "a.csv cannot be read: it is neither .jsonl nor .parquet"),
        ({"a.jsonl": '{"text": "one"}\n{"text": \n'}, "a.jsonl cannot be read"),
        ({"a.jsonl": ""}, "a.jsonl cannot be read"),
        ({"a.parquet": "none"}, "a.parquet cannot be read"),
        (
            {"queries.jsonl": '{"question": "one"}\n'},
            "queries.jsonl cannot be read: it has no column 'text', only question",
        ),
        ({"queries.jsonl": '{"text": "one"}\n'}, "corpus.jsonl cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_is_expected(tmp_path, files, says):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    where = tmp_path / "a.csv" if "a.csv" in files else tmp_path  # of a folder a .csv is not read
    with pytest.raises(RecipeError, match=rf"{re.escape(says)}.*Give \.jsonl or \.parquet files"):
        check_test_sets(QualityRecipe(test_sets=[str(where)]))


def test_no_test_sets_mean_no_check():
    assert load_test_sets(QualityRecipe()) is None


def test_a_folder_without_text_and_an_unknown_name_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="holds no"):
        load_test_sets(QualityRecipe(test_sets=[str(tmp_path)]))
    for read in (load_test_sets, check_test_sets):
        with pytest.raises(RecipeError, match="'SciFakt' is neither a folder nor a task of mteb"):
            read(QualityRecipe(test_sets=["SciFakt"]))
