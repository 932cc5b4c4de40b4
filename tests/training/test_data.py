"""A data set of a mixture: read, formatted by the prompt contract, and cut to the training columns."""

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from gecko_hf.errors import RecipeError
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.prompts import reworded
from gecko_hf.source_recipe import check_columns
from gecko_hf.training.data import build_set, columns, in_format, with_vectors
from gecko_hf.training.mixture_recipe import DataRecipe

PAIRS = [{"question": f"q{i}", "answer": f"a{i}", "id": i} for i in range(20)]
PASSAGES = [
    {
        "query": f"q{i}",
        "positive_passages": [f"p{i}"],
        "negative_passages": [f"p{i}", f"n{i}", f"n{i}", f"m{i}"][: i + 1],
    }
    for i in range(4)
]


@pytest.fixture
def source(tmp_path):
    def write(rows, name="rows.jsonl"):
        file = tmp_path / name
        text = "".join(json.dumps(row) + "\n" for row in rows)
        file.write_bytes(gzip.compress(text.encode())) if name.endswith(".gz") else file.write_text(text)
        return str(file)

    return write


def build(recipe, tmp_path, **options):
    return build_set("mine", recipe, tmp_path / "mixture", 3, **options)


def test_rows_have_exactly_the_training_columns_in_the_format_of_the_prompts(source, tmp_path):
    recipe = DataRecipe(
        kind="pairs", source=source(PAIRS), columns={"query": "question", "positive": "answer"}, task="trivia"
    )
    made = build(recipe, tmp_path)
    assert made.rows.column_names == ["anchor", "positive"]
    assert made.rows[3] == {"anchor": "task: trivia | query: q3", "positive": "title: none | text: a3"}
    assert made.set_aside == {}


def test_a_share_of_the_titles_can_stand_in_the_text(source, tmp_path):
    titled = [{"query": f"q{i}", "positive": "a", "title": f"T{i}"} for i in range(100)]
    found = build(DataRecipe(kind="pairs", source=source(titled)), tmp_path, title_in_text=0.5).rows["positive"][:]
    joined = [text == f"title: none | text: T{i} a" for i, text in enumerate(found)]
    assert 30 < sum(joined) < 70
    assert [t for t, j in zip(found, joined, strict=True) if not j] == [
        f"title: T{i} | text: a" for i, j in enumerate(joined) if not j
    ]


def test_a_symmetric_set_reads_both_sides_as_queries(source, tmp_path):
    rows = [{"premise": "p", "hypothesis": "yes", "label": 0}, {"premise": "p", "hypothesis": "no", "label": 2}]
    made = build(DataRecipe(kind="nli", source=source(rows)), tmp_path)
    assert made.rows[0] == {
        "anchor": "task: semantic similarity | query: p",
        "positive": "task: semantic similarity | query: yes",
        "negative": "task: semantic similarity | query: no",
    }


@pytest.mark.parametrize(("wanted", "left"), [(0, 4), (1, 3), (2, 1)])
def test_rows_with_too_few_hard_negatives_are_set_aside_and_counted(source, tmp_path, wanted, left):
    """The positive itself and a negative that came twice do not count."""
    made = build(DataRecipe(kind="passages", source=source(PASSAGES), hard_negatives=wanted), tmp_path)
    assert made.rows.column_names == columns(wanted)
    assert len(made.rows) == left
    assert made.set_aside == ({"fewer hard negatives than asked for": 4 - left} if left < 4 else {})
    assert all(row["positive"] not in list(row.values())[2:] for row in made.rows)


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.json"])
def test_gzipped_and_plain_json_lines_are_read(source, tmp_path, name):
    recipe = DataRecipe(kind="pairs", source=source(PAIRS, name), columns={"query": "question", "positive": "answer"})
    assert len(build(recipe, tmp_path).rows) == 20


def test_a_cap_draws_rows_by_the_seed(source, tmp_path):
    recipe = DataRecipe(kind="pairs", source=source(PAIRS), columns={"query": "question", "positive": "answer"}, rows=5)
    first = build(recipe, tmp_path).rows["anchor"][:]
    assert len(first) == 5
    assert first != [f"task: question answering | query: q{i}" for i in range(5)]
    assert build_set("mine", recipe, tmp_path / "again", 3).rows["anchor"][:] == first


def test_a_cap_of_nli_is_of_examples_so_that_premises_keep_their_contradictions(source, tmp_path):
    labels = ("entailment", "contradiction", "neutral")
    rows = [{"premise": f"p{i}", "hypothesis": f"{v[0]}{i}", "label": v} for i in range(40) for v in labels]
    made = build(DataRecipe(kind="nli", source=source(rows), rows=10), tmp_path)
    assert len(made.rows) == 10
    assert made.set_aside == {"neutral or without a label": 40}
    assert {row["negative"][-2:].strip("c") for row in made.rows} == {
        row["anchor"][-2:].strip("p") for row in made.rows
    }


@pytest.mark.parametrize(("kind", "share", "left"), [("fret", 1.0, 0), ("fret", 0.5, 10), ("fret", 0.0, 20)])
def test_a_share_of_frets_positives_loses_the_sentence_that_the_query_was_taken_from(
    source, tmp_path, kind, share, left
):
    rest = "The rest of it has five words and more."
    blank = {"positive_title": "", "negative_title": "", "negative": "n", "task": "t"}
    rows = [{**blank, "query": f"bread {i}", "positive": f"There is bread {i}. {rest}"} for i in range(20)]
    made = build(DataRecipe(kind=kind), tmp_path, default=source(rows), cut_source=share).rows
    whole = [f"bread {i}" in row["positive"] for i, row in enumerate(made)]
    assert abs(sum(whole) - left) <= (5 if 0 < share < 1 else 0)
    assert all(rest in row["positive"] for row in made)


def test_a_positive_of_two_rows_stays_one_text(source, tmp_path):
    """Cut in one row and whole in the other it would be two for the sampler, and a false negative in a batch of both."""
    rest = "The rest of it has five words and more."
    row = {"positive_title": "", "negative_title": "", "negative": "n", "task": "t"}
    texts = [f"There is bread {i // 2}. {rest}" for i in range(20)] + [f"There is rye. {rest}"]
    rows = [{**row, "query": "rye" if "rye" in p else "bread", "answer": p} for p in texts]
    made = build(
        DataRecipe(kind="fret", columns={"positive": "answer"}), tmp_path, default=source(rows), cut_source=1.0
    )
    assert made.rows["positive"][:] == [f"title: none | text: {p}" for p in [*texts[:-1], rest]]


def test_rows_are_written_once_and_again_when_the_source_changes(source, tmp_path, monkeypatch):
    recipe = DataRecipe(kind="passages", source=source(PASSAGES))
    first = build(recipe, tmp_path)
    monkeypatch.setattr("gecko_hf.training.data.read_source", lambda *_: pytest.fail("read again"))
    second = build(recipe, tmp_path)
    assert (second.rows[:], second.set_aside) == (first.rows[:], first.set_aside)
    monkeypatch.undo()
    source(PASSAGES[:3])
    assert len(build(recipe, tmp_path).rows) == len(first.rows) - 1


def test_the_fret_of_the_run_stands_in_where_no_source_is_named(source, tmp_path):
    row = {"task": "t", "query": "q", "positive_title": "", "positive": "p", "negative_title": "", "negative": "n"}
    file = source([row])
    assert build(DataRecipe(kind="fret"), tmp_path, default=file).rows["anchor"][:] == ["task: t | query: q"]
    with pytest.raises(RecipeError, match="is the FRet of this run, and there is none"):
        build(DataRecipe(kind="fret"), tmp_path)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (DataRecipe(kind="pairs", source="{file}"), "Say where query is: columns: {query: COLUMN}"),
        (DataRecipe(kind="pairs", source="{file}", columns={"query": "nope"}), "Say where query is"),
        (DataRecipe(kind="pairs", source="no/such-data-set"), "no data set loads from 'no/such-data-set'"),
        (DataRecipe(kind="pairs", source="{file}.txt"), "no data set loads from"),
        (
            DataRecipe(kind="pairs", source="/nowhere/rows.jsonl.gz"),
            "there is no file or folder '/nowhere/rows.jsonl.gz'",
        ),
        (DataRecipe(kind="pairs", source="rows.jsonl"), "there is no file or folder 'rows.jsonl'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(source, tmp_path, recipe, says):
    file = source(PAIRS)
    (tmp_path / "rows.jsonl.txt").write_text("x")
    recipe = DataRecipe(kind=recipe.kind, source=recipe.source.format(file=file), columns=recipe.columns)
    with pytest.raises(RecipeError, match=re.escape(says)):
        build(recipe, tmp_path)


def test_a_column_in_two_roles_is_refused():
    recipe = DataRecipe(kind="pairs", source="x", columns={"query": "text", "positive": "text"})
    with pytest.raises(RecipeError, match=r"query and positive are both the column 'text'. A column has one role"):
        check_columns(recipe, "pairs", ("query", "positive"), "finetune.mixture.mine")


def test_a_folder_of_several_formats_is_refused_and_what_lies_beside_rows_is_not_one(source, tmp_path):
    file = Path(source(PAIRS))
    folder = tmp_path / "many"
    folder.mkdir()
    shutil.copy(file, folder / "a.jsonl")
    (folder / "dataset_infos.json").write_text("{}")
    (folder / "b.csv").write_text("query,positive\nq,p\n")
    with pytest.raises(RecipeError, match=r"holds files of 2 formats"):
        build(DataRecipe(kind="pairs", source=str(folder)), tmp_path)


def test_scores_stay_with_the_texts_that_they_are_of(source, tmp_path):
    row = {
        "query": "q",
        "positive_passages": ["p"],
        "negative_passages": ["p", "n", "n", "m"],
        "scores": [9, 8, 3, 3, 1],
    }
    others = [row | {"scores": [9, 8]}, row | {"scores": [9, 8, 3, 3, 1, 0]}]
    recipe = DataRecipe(kind="passages", source=source([row, *others]), hard_negatives=2, scores=True)
    made = build(recipe, tmp_path)
    assert made.rows["negative_2"][:] == ["title: none | text: m"]
    assert made.rows["scores"][:] == [[9.0, 3.0, 1.0]]
    assert made.set_aside == {"not one score for each text": 2}


def test_a_negative_without_text_takes_its_score_with_it(source, tmp_path):
    row = {"query": "q", "positive_passages": ["p"], "negative_passages": ["n", " ", "m"], "scores": [9, 3, 2, 1]}
    made = build(DataRecipe(kind="passages", source=source([row]), hard_negatives=2, scores=True), tmp_path).rows
    assert (made["negative"][0], made["negative_2"][0]) == ("title: none | text: n", "title: none | text: m")
    assert made["scores"][:] == [[9.0, 3.0, 1.0]]


def test_only_rows_that_have_a_value_are_taken(source, tmp_path):
    file = source([{"query": f"q{i}", "positive": "p", "subset": "ab"[i % 2]} for i in range(6)])
    assert len(build(DataRecipe(kind="pairs", source=file, where={"subset": "a"}), tmp_path).rows) == 3
    with pytest.raises(RecipeError, match="has no column 'kind'"):
        build(DataRecipe(kind="pairs", source=file, where={"kind": "a"}), tmp_path)


def test_two_halves_share_no_label_and_miss_none(source, tmp_path):
    rows = [{"text": f"text {label} {i}", "intent": label} for label in "abcdefgh" for i in range(3)]
    file, columns = source(rows), {"label": "intent"}
    halves = [
        build(DataRecipe(kind="labels", source=file, columns=columns, half=half, unique_id=False), tmp_path / half).rows
        for half in ("first", "second")
    ]
    seen = [{text.split()[-2] for text in half["anchor"]} for half in halves]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set("abcdefgh")
    with pytest.raises(RecipeError, match=re.escape("Say where they are: columns: {label: COLUMN}")):
        build(DataRecipe(kind="pairs", source=source([{"query": "q", "positive": "p"}]), half="first"), tmp_path)


def test_a_set_that_gives_no_row_says_why(source, tmp_path):
    with pytest.raises(RecipeError, match=r"gives no training row; set aside: \{'empty text': 1\}"):
        build(DataRecipe(kind="pairs", source=source([{"query": "", "positive": ""}])), tmp_path)


def test_the_bases_vectors_of_the_bare_texts_stand_beside_a_row(source, tmp_path):
    made = build(
        DataRecipe(kind="pairs", source=source(PAIRS), columns={"query": "question", "positive": "answer"}), tmp_path
    )
    seen: list[str] = []

    def encode(texts):
        seen.extend(texts)
        return np.array([[len(seen), float(text[1:])] for text in texts], dtype=np.float32)

    rows = with_vectors(made, encode).rows
    assert rows.column_names == ["anchor", "positive", "label"]
    assert seen == [f"q{i}" for i in range(20)] + [f"a{i}" for i in range(20)]
    assert rows[7]["label"] == [20.0, 7.0, 40.0, 7.0]


def test_the_base_reads_texts_without_their_unique_ids(source, tmp_path):
    rows = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(6)]
    seen: list[str] = []
    with_vectors(
        build(DataRecipe(kind="labels", source=source(rows)), tmp_path),
        lambda texts: seen.extend(texts) or np.zeros((len(texts), 2), np.float32),
    )
    assert set(seen) == {row["text"] for row in rows}


def test_a_set_that_is_learned_by_label_carries_each_rows_label_and_neither_ids_nor_hard_negatives(source, tmp_path):
    rows = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(6)]
    one = build(DataRecipe(kind="labels", source=source(rows), positives="label"), tmp_path)
    assert one.rows.column_names == ["anchor", "positive", "label"]
    assert one.rows["label"][:] == [[0.0], [1.0]] * 3
    assert one.rows["anchor"][:] == [f"task: classification | query: text {i}" for i in range(6)]
    kept = with_vectors(one, lambda texts: np.full((len(texts), 2), 7, np.float32))
    assert kept.rows["label"][1] == [1.0, 7.0, 7.0, 7.0, 7.0]


def test_the_prompts_of_rows_and_of_sets_can_be_in_another_format(source, tmp_path):
    asked = {"query": "question", "positive": "answer"}
    one = build(DataRecipe(kind="pairs", source=source(PAIRS), columns=asked), tmp_path)
    held = with_vectors(one, lambda texts: np.zeros((len(texts), 2), np.float32))
    assert in_format([held], "gecko") == [held]
    (plain,) = in_format([held], "plain")
    assert plain.rows.column_names == held.rows.column_names
    for column in ("anchor", "positive"):
        assert plain.rows[column][:] == [reworded(text, "plain") for text in one.rows[column]]
    assert plain.rows[3]["anchor"] == "question answering q3"
    assert in_format(one.rows, "plain")[:] == {name: plain.rows[name][:] for name in one.rows.column_names}


def test_texts_that_overlap_with_a_test_set_are_left_out(source, tmp_path):
    rows = [{"query": f"a question of number {i}", "positive": f"its answer {i}"} for i in range(4)]
    tests = TestSets([("Held", "A question of number 2"), ("Held", "Its answer, 3.")], near=1.0)
    made = build(DataRecipe(kind="pairs", source=source(rows)), tmp_path, tests=tests)
    assert made.rows["positive"][:] == ["title: none | text: its answer 0", "title: none | text: its answer 1"]
    assert made.set_aside == {"test text: nearly identical to a text of Held": 2}


def test_a_part_of_a_files_rows_is_read_where_the_split_names_one(source, tmp_path):
    recipe = {"kind": "pairs", "source": source(PAIRS), "columns": {"query": "question", "positive": "answer"}}
    assert len(build(DataRecipe(**recipe, split="train[:2]"), tmp_path).rows) == 2
    with pytest.raises(RecipeError, match=r"mine\.split is 'test', and .*rows\.jsonl is one file"):
        build(DataRecipe(**recipe, split="test"), tmp_path)


def test_a_column_that_is_not_there_is_named_also_where_its_role_could_be_left_out(source, tmp_path):
    recipe = DataRecipe(kind="pairs", source=source([{"query": "q", "positive": "p"}]), columns={"title": "headline"})
    with pytest.raises(
        RecipeError, match=r"mine\.columns: .* has no column 'headline' for title, only query, positive"
    ):
        build(recipe, tmp_path)


def test_the_unique_id_hides_no_text_from_the_test_sets(source, tmp_path):
    rows = [{"text": f"{label} text of number {i}", "label": label} for i in range(3) for label in "ab"]
    tests = TestSets([("Held", "a text of number 1")], near=1.0)
    made = build(DataRecipe(kind="labels", source=source(rows)), tmp_path, tests=tests)
    assert not any("a text of number 1" in row[side] for row in made.rows for side in ("anchor", "positive"))


@pytest.mark.parametrize("unique_id", [True, False])
def test_all_texts_of_a_row_carry_one_id_unless_it_is_left_out(source, tmp_path, unique_id):
    rows = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(6)]
    made = build(DataRecipe(kind="labels", source=source(rows), unique_id=unique_id), tmp_path).rows
    marks = [{re.search(r"query: (id: \w{10} \| )?text \d$", text)[1] for text in row.values()} for row in made]
    assert all(len(found) == 1 for found in marks)
    assert len(set.union(*marks)) == (6 if unique_id else 1)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_text_that_is_cut_at_the_models_length_keeps_its_unique_id(source, tmp_path, tiny_model_path, symmetric):
    """Without it other texts of its label would be false negatives."""
    long = " ".join(["oven"] * 100)
    rows = [{"text": f"{long} {i}", "label": "ab"[i % 2]} for i in range(6)]
    made = build(DataRecipe(kind="labels", source=source(rows), symmetric=symmetric), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_path)
    for row in made.rows:
        for text in row.values():
            ids = re.findall(r"id: (\w{10})", text)
            read = tokenizer(text, truncation=True, max_length=64, return_offsets_mapping=True)["offset_mapping"]
            assert len(ids) == 1
            assert ids[0] in text[: read[-2][1]]  # the last token is [SEP]
            assert made.bare(text)[:20] == long[:20]


def test_rows_of_an_earlier_form_are_not_read_again(source, tmp_path, monkeypatch):
    recipe = DataRecipe(kind="labels", source=source([{"text": f"t {i}", "label": "ab"[i % 2]} for i in range(6)]))
    build(recipe, tmp_path)
    monkeypatch.setattr("gecko_hf.training.data.FORM", 0)
    build(recipe, tmp_path)
    assert len([*(tmp_path / "mixture").iterdir()]) == 2


def test_columns_can_change_places(source, tmp_path):
    swapped = [{"query": f"a{i}", "positive": f"q{i}"} for i in range(3)]
    recipe = DataRecipe(kind="pairs", source=source(swapped), columns={"query": "positive", "positive": "query"})
    assert build(recipe, tmp_path).rows[0]["anchor"].endswith("query: q0")


@pytest.mark.parametrize(
    ("kind", "row", "empty"),
    [
        ("passages", {"query": "q", "positive_passages": ["p"], "negative_passages": ["n"]}, "query"),
        ("fever", {"claim": "c", "label": "SUPPORTS", "title": "t", "evidence": "e"}, "claim"),
        ("medmcqa", {"question": "q", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 1}, "question"),
    ],
)
@pytest.mark.parametrize("text", [None, "", " "])
def test_a_row_without_a_query_is_set_aside_and_counted(source, tmp_path, kind, row, empty, text):
    made = build(DataRecipe(kind=kind, source=source([row, row | {empty: text}])), tmp_path)
    assert (len(made.rows), made.set_aside) == (1, {"empty text": 1})


def test_a_negative_that_is_the_query_itself_is_left_out(source, tmp_path):
    rows = [{"premise": "p", "hypothesis": "h", "label": 0}]
    rows += [{"premise": "p", "hypothesis": text, "label": 2} for text in ("p", "n")]
    made = build(DataRecipe(kind="nli", source=source(rows)), tmp_path)
    assert made.rows["negative"][:] == ["task: semantic similarity | query: n"]
