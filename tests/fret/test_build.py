"""FRet from end to end on a small library, and as it lies on disk."""

import dataclasses
import json
from collections import Counter

import pytest
from datasets import load_dataset

from gecko_hf.corpus.store import write_corpus
from gecko_hf.errors import OutputError
from gecko_hf.fret.build import label_counts, labels_of, parts_of, rows_of, set_aside_counts, write_labels
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.fret.generate import Rejected
from gecko_hf.fret.recipe import FRetRecipe, QualityRecipe
from gecko_hf.fret.relabel import relabel
from gecko_hf.fret.steps import choose_seeds


@pytest.fixture
def fret(build_fret):
    return build_fret


def test_rows_hold_the_texts_of_the_labelled_passages(fret, passages):
    built = fret()
    by_id = {p.id: p for p in passages}
    assert len(built.rows) == len(built.labels) == len(passages[::2])
    for row, label in zip(built.rows, built.labels, strict=True):
        assert (row["positive_title"], row["positive"]) == (
            by_id[label["positive_id"]].title,
            by_id[label["positive_id"]].text,
        )
        assert row["negative"] == by_id[label["negative_id"]].text
        assert label["positive_id"] != label["negative_id"]


def test_labels_follow_from_their_own_scores(fret):
    for label in fret().labels:
        fused = [1 / q + 1 / r for q, r in zip(label["ql_rank"], label["rc_rank"], strict=True)]
        assert label["fused"] == pytest.approx(fused)
        assert fused[label["candidate_ids"].index(label["positive_id"])] == pytest.approx(max(fused))
        assert label["seed_id"] in label["candidate_ids"]
        assert len(set(label["candidate_ids"])) == 8


def test_the_seed_can_be_kept_as_the_positive(fret):
    assert all(label["positive_id"] == label["seed_id"] for label in fret(positive="seed").labels)


def test_rows_can_go_without_a_negative(fret):
    assert all(row["negative"] is None for row in fret(negative="none").rows)


def test_the_same_inputs_give_the_same_rows(fret):
    assert fret() == fret()


def found_in(passages):
    return {p.id: p for p in passages}.__getitem__


def test_seeds_are_prose_and_never_held_out(passages):
    chosen = choose_seeds(passages, {passages[0].id}, 5, range(len(passages)))
    assert chosen == [1, 2, 3, 4, 5]


def test_the_three_configs_load_with_datasets(fret, passages, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    built = fret()
    write_labels(built, tmp_path / "fret")
    write_corpus(passages, tmp_path / "fret" / "corpus")
    assert list(rows_of(tmp_path / "fret")) == built.rows
    corpus = load_dataset(
        "parquet", data_files=str(tmp_path / "fret/corpus/*.parquet"), cache_dir=str(tmp_path), split="train"
    )
    assert corpus.column_names == ["id", "title", "text"]
    assert list(labels_of(tmp_path / "fret")) == built.labels
    assert [json.loads(x) for x in (tmp_path / "fret/set_aside.jsonl").read_text().splitlines()] == []


def test_queries_without_a_negative_have_a_label_and_a_reason_but_no_row(fret, passages, tmp_path):
    scores = [(row["retrieval_score"], row["candidate_ids"].index(row["positive_id"])) for row in fret().labels]
    margin = sorted(min(s[:best] + s[best + 1 :]) / s[best] for s, best in scores)[len(scores) // 2]
    built = fret(negative_margin=margin)
    refused = [row for row in built.labels if row["set_aside"]]
    assert refused
    assert len(built.rows) == len(built.labels) - len(refused)
    write_labels(built, tmp_path)
    kept = list(labels_of(tmp_path))
    relabelled = sum(row["positive_id"] != row["seed_id"] for row in kept)
    assert len(kept) == len(built.rows)
    assert label_counts(tmp_path) == (len(kept), relabelled, Counter(row["task"] for row in kept))
    lines = [json.loads(x) for x in (tmp_path / "set_aside.jsonl").read_text().splitlines()]
    assert [(line["seed_id"], line["query"]) for line in lines] == [(r["seed_id"], r["query"]) for r in refused]


@pytest.mark.parametrize(
    "options",
    [
        {"positive": "seed"},
        {"positive": "ql", "negative": "random"},
        {"relevance": "expected", "negative": "rank", "negative_rank": 3},
        {"negative": "none"},
        {"negative_margin": 0.4},
    ],
)
def test_relabelling_gives_what_a_build_with_these_options_gives(fret, passages, tmp_path, options):
    write_labels(fret(), tmp_path)
    (relabelled,) = relabel(tmp_path, found_in(passages), FRetRecipe(candidates=8, **options), 0, None)
    assert relabelled == fret(**options)


def test_parts_are_read_in_order_and_relabelled_one_by_one(fret, passages, tmp_path):
    built = fret()
    for part in range(3):
        cut = slice(part * 11, part * 11 + 11)
        write_labels(dataclasses.replace(built, rows=built.rows[cut], labels=built.labels[cut]), tmp_path, part, 3)
    assert [f.name for f in parts_of(tmp_path, "default")] == [f"train-{i:05d}-of-00003.parquet" for i in range(3)]
    assert list(rows_of(tmp_path)) == built.rows
    made = relabel(tmp_path, found_in(passages), FRetRecipe(candidates=8), 0, None)
    assert [len(part.labels) for part in made] == [11, 11, 10]


def test_what_was_set_aside_is_counted_by_gate(fret, passages, tmp_path):
    built = fret(quality=QualityRecipe(max_copied=0.3, near_duplicate=0.5))
    write_labels(built, tmp_path)
    counts = set_aside_counts(tmp_path)
    assert sum(counts.values()) == len(built.rejected) == len(passages) // 2 - len(built.rows)
    assert set(counts) <= {"copied", "duplicate"}
    assert counts


def test_a_query_that_a_test_set_holds_is_set_aside_by_a_build(fret):
    asked = fret().labels[0]["query"]
    built = fret(tests=TestSets([("Exam", asked)]))
    assert asked not in {row["query"] for row in built.rows}
    assert [(r.query, r.reason) for r in built.rejected] == [(asked, "test query: 13 words in a row of Exam")]


def test_a_positive_that_a_test_set_holds_is_set_aside_by_a_build(fret, passages):
    calm = fret()
    tests = TestSets([("Exam", calm.rows[0]["positive"])])
    built = fret(tests=tests)
    assert not [row for row in built.rows if tests.match(row["positive"])]
    refused = [label for label in built.labels if label["set_aside"]]
    assert len(refused) == sum(bool(tests.match(row["positive"])) for row in calm.rows)
    assert {label["set_aside"] for label in refused} == {"test passage: 13 words in a row of Exam"}


def test_a_positive_that_a_test_set_holds_is_set_aside_by_relabelling(fret, passages, tmp_path):
    tests = TestSets([("Exam", fret(positive="seed").rows[0]["positive"])])
    write_labels(fret(tests=tests), tmp_path)
    (relabelled,) = relabel(tmp_path, found_in(passages), FRetRecipe(candidates=8, positive="seed"), 0, tests)
    assert relabelled == fret(positive="seed", tests=tests)
    assert any(label["set_aside"] for label in relabelled.labels)


def test_what_was_set_aside_is_read_back_whatever_separates_its_lines(passages, tmp_path, fret):
    odd = Rejected("bread-0", "copied: all of it", "one\u2028two\u2029three\u0085four")
    built = dataclasses.replace(fret(), rejected=[odd])
    write_labels(built, tmp_path)
    assert set_aside_counts(tmp_path) == {"copied": 1}
    (relabelled,) = relabel(tmp_path, found_in(passages), FRetRecipe(candidates=8), 0, None)
    assert relabelled.rejected == [odd]


def test_relabelling_an_older_folder_says_what_it_lacks(passages, tmp_path):
    import datasets

    (tmp_path / "labels").mkdir()
    datasets.Dataset.from_list([{"query": "x"}]).to_parquet(tmp_path / "labels" / "train.parquet")
    with pytest.raises(OutputError, match=r"lacks the columns candidate_ids, .*grades"):
        next(relabel(tmp_path, found_in(passages), FRetRecipe(), 0, None))
    with pytest.raises(OutputError, match="There are no labels in"):
        next(relabel(tmp_path / "none", found_in(passages), FRetRecipe(), 0, None))
