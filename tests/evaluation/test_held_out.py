"""Data sets that a recipe keeps out of training become the folders that `--local` reads, each of its kind."""

import json

import pytest

from gecko_hf.errors import EvaluationError, RecipeError
from gecko_hf.evaluation.held_out import write_held_out
from gecko_hf.evaluation.local_data import local_tasks
from gecko_hf.evaluation.task_recipe import TaskRecipe, check_tasks

QUESTIONS = [{"question": f"question {i}", "title": f"T{i % 6}", "text": f"passage {i % 6}"} for i in range(24)]
LABELLED = [
    {"text": f"{label} words number {i}", "label": label} for i in range(8) for label in ("red", "blue", "green")
]
PAIRS = [
    {"premise": f"p{i}", "hypothesis": f"h{i}", "label": ("entailment", "neutral", "contradiction")[i % 3]}
    for i in range(12)
]
NUMBERS = {"entailment": 2.0, "neutral": 1.0, "contradiction": 0.0}
SIDES = {"sentence1": "premise", "sentence2": "hypothesis"}


@pytest.fixture
def write(tmp_path):
    """Writes rows as a file and the task of them as a folder; returns the folder."""

    def write(data, seed=0, **recipe):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in data), encoding="utf-8")
        write_held_out({"mine": TaskRecipe(source=str(file), **recipe)}, tmp_path / "tasks", seed)
        return tmp_path / "tasks" / "mine"

    return write


def rows_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def loaded(folder):
    (task,) = local_tasks(folder)
    task.load_data()
    return task


def test_questions_with_their_passages_become_a_search_over_all_passages(write):
    task = loaded(write(QUESTIONS, kind="retrieval", columns={"query": "question"}))
    data = task.dataset["default"]["test"]
    assert (task.metadata.type, len(data["corpus"]), len(data["queries"])) == ("Retrieval", 6, 24)
    texts = {row["id"]: row["text"] for row in data["corpus"]}
    for query in data["queries"]:
        (answer,) = data["relevant_docs"][query["id"]]
        assert texts[answer] == f"passage {int(query['text'].split()[1]) % 6}"


def test_a_search_has_at_most_so_many_queries_and_passages_and_no_query_loses_its_passage(write):
    folder = write(QUESTIONS, kind="retrieval", columns={"query": "question"}, rows=3, documents=4)
    assert len(rows_of(folder / "queries.jsonl")) == 3
    assert 3 <= len(rows_of(folder / "corpus.jsonl")) <= 4
    loaded(folder)


def test_positives_with_negatives_become_a_reranking(write):
    both = {
        "query": "q",
        "positives": [{"title": "T", "text": "yes"}],
        "negatives": ["no", {"title": "T", "text": "yes"}],
    }
    folder = write([both, both | {"negatives": []}], kind="reranking")
    assert rows_of(folder / "test.jsonl") == [{"query": "q", "positive": ["T yes"], "negative": ["no"]}]
    assert loaded(folder).metadata.type == "Reranking"


def test_labels_with_numbers_become_similarities(write):
    folder = write(PAIRS, kind="sts", columns=SIDES | {"score": "label"}, values=NUMBERS)
    assert sorted(row["score"] for row in rows_of(folder / "test.jsonl")) == [0.0] * 4 + [1.0] * 4 + [2.0] * 4
    assert loaded(folder).metadata.type == "STS"


def test_pairs_leave_out_labels_without_a_number(write):
    folder = write(PAIRS, kind="pairs", columns=SIDES, values={"entailment": 1, "contradiction": 0})
    found = rows_of(folder / "test.jsonl")
    assert [sum(row["label"] == value for row in found) for value in (0, 1)] == [4, 4]
    assert loaded(folder).metadata.type == "PairClassification"


def test_texts_of_one_label_become_pairs_with_one_of_theirs_and_one_of_another(write):
    folder = write(LABELLED, kind="same_label", rows=5)
    found = rows_of(folder / "test.jsonl")
    assert len(found) == 10
    for row in found:
        first, second = (row[side].split()[0] for side in ("sentence1", "sentence2"))
        assert (first == second) == bool(row["label"])
        assert row["sentence1"] != row["sentence2"]
    loaded(folder)


def test_half_of_the_labelled_texts_train_the_classifier_and_no_text_is_in_both_halves(write):
    folder = write(LABELLED, kind="classification")
    train, test = rows_of(folder / "train.jsonl"), rows_of(folder / "test.jsonl")
    assert len(train) == len(test) == 12
    assert not {row["text"] for row in train} & {row["text"] for row in test}
    assert {row["label"] for row in train} == {row["label"] for row in test} == {"red", "blue", "green"}
    assert loaded(folder).metadata.type == "Classification"


def test_labelled_texts_alone_become_a_clustering(write):
    assert loaded(write(LABELLED, kind="clustering", rows=10)).metadata.type == "Clustering"


def test_the_same_seed_draws_the_same_rows(write, tmp_path):
    def texts(seed):
        return [row["text"] for row in rows_of(write(LABELLED, seed, kind="clustering", rows=6) / "test.jsonl")]

    assert texts(1) == texts(1) != texts(2)


def test_a_source_of_which_nothing_can_be_used_is_refused(write):
    with pytest.raises(EvaluationError, match=r"mine: no row of .* can be used for pairs"):
        write(PAIRS, kind="pairs", columns=SIDES, values={"yes": 1, "no": 0})


def test_a_label_that_is_no_number_asks_for_its_value(write):
    with pytest.raises(EvaluationError, match=r"'entailment' is no number.*values: \{entailment: 1.0\}"):
        write(PAIRS[:1], kind="sts", columns=SIDES | {"score": "label"})


@pytest.mark.parametrize(
    ("row", "recipe", "says"),
    [
        ({"sentence1": "a", "sentence2": "b", "score": [1]}, {"kind": "sts"}, r"the score \[1\] is no number"),
        ({"sentence1": "a", "sentence2": "b", "label": 0.7}, {"kind": "pairs"}, "the label 0.7 is neither 0 nor 1"),
        (
            {"query": "q", "positives": "yes", "negatives": ["no"]},
            {"kind": "reranking"},
            "'yes' as positives .*lists of texts",
        ),
        (
            {"query": "q", "positives": ["yes"], "negatives": [1]},
            {"kind": "reranking"},
            r"'\[1\]' as positives .*lists of texts",
        ),
        ({"query": "q", "text": ["yes"]}, {"kind": "retrieval"}, "text holds .*reads texts there"),
        ({"query": "q", "text": "yes", "title": 1}, {"kind": "retrieval"}, "title holds .*reads texts there"),
        ({"text": 1, "label": "a"}, {"kind": "clustering"}, "text holds .*reads texts there"),
    ],
)
def test_a_value_that_is_not_what_its_kind_reads_is_refused(write, row, recipe, says):
    with pytest.raises(EvaluationError, match=says):
        write([row], **recipe)


def test_a_reranking_leaves_out_rows_without_a_query_and_texts_that_are_null(write):
    rows = [
        {"query": None, "positives": ["yes"], "negatives": ["no"]},
        {"query": "q", "positives": None, "negatives": ["no"]},
        {"query": "r", "positives": ["yes", None], "negatives": ["no"]},
    ]
    found = rows_of(write(rows, kind="reranking") / "test.jsonl")
    assert found == [{"query": "r", "positive": ["yes"], "negative": ["no"]}]


def test_texts_without_a_label_are_no_label_of_their_own(write):
    found = rows_of(
        write([*LABELLED, *({"text": f"bare {i}", "label": None} for i in range(9))], kind="same_label") / "test.jsonl"
    )
    assert len(found) == 2 * len(LABELLED)
    assert not [row for row in found if "bare" in row["sentence1"] + row["sentence2"]]


@pytest.mark.parametrize("source", ["data/train.csv", "data"])
def test_words_that_pandas_takes_for_nothing_are_words(tmp_path, source):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("text,label\nnull,none\nNA,none\nwhat,\n")
    write_held_out({"mine": TaskRecipe(source=str(tmp_path / source), kind="clustering")}, tmp_path, 0)
    assert sorted(row["text"] for row in rows_of(tmp_path / "mine" / "test.jsonl")) == ["NA", "null"]


def test_pairs_without_a_score_are_left_out(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("sentence1,sentence2,score\na,b,1\nc,d,NaN\ne,f,\n")
    write_held_out({"mine": TaskRecipe(source=str(file), kind="sts")}, tmp_path, 0)
    assert [row["sentence1"] for row in rows_of(tmp_path / "mine" / "test.jsonl")] == ["a"]


def test_a_file_without_a_row_is_refused(write):
    with pytest.raises(RecipeError, match="it holds no row"):
        write([], kind="clustering")


@pytest.mark.parametrize("key", ["revision", "config"])
def test_what_belongs_to_the_hub_is_refused_with_a_file(write, key):
    with pytest.raises(RecipeError, match=rf"mine\.{key} is 'main', and .*rows.jsonl is on this machine"):
        write(LABELLED, kind="clustering", **{key: "main"})


def test_a_missing_column_is_named(write):
    with pytest.raises(RecipeError, match="Say where query is"):
        write(QUESTIONS, kind="retrieval")


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (TaskRecipe(), "t.source is missing"),
        (TaskRecipe(source="x", values={"a": 1.0}), "not of retrieval"),
        (TaskRecipe(source="x", kind="sts", documents=9), "t.documents caps the passages of retrieval, .* kind: sts"),
        (TaskRecipe(source="x", kind="pairs", values={"a": 2.0}), "must be 0 and 1"),
        (
            TaskRecipe(source="x", columns={"question": "query"}),
            "column for 'question', and kind: retrieval reads query, text",
        ),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_refused_before_anything_is_read(task, says):
    with pytest.raises(RecipeError, match=says):
        check_tasks({"t": task}, "recipe")


@pytest.mark.parametrize("name", ["a/b", "..", "", "two words"])
def test_a_task_has_a_name_that_a_folder_can_have(name):
    with pytest.raises(RecipeError, match="a name is made of letters, digits, -, _ and dots"):
        check_tasks({name: TaskRecipe(source="x")}, "recipe")


def test_every_role_that_a_kind_reads_can_have_a_column():
    check_tasks({"t": TaskRecipe(source="x", columns={"title": "headline", "label": "topic"}, half="first")}, "recipe")
