"""FRet from end to end on a small library, with vectors that are bags of words."""

import json

import numpy as np
import pytest
from datasets import load_dataset

from gecko_hf.errors import OutputError
from gecko_hf.fret.build import build_fret, choose_seeds, read_labels, read_rows, write_fret
from gecko_hf.fret.recipe import FRetRecipe
from gecko_hf.fret.relabel import relabel
from gecko_hf.llm.unigram import UnigramAnnotator
from gecko_hf.text import words


def bags(texts, vocabulary):
    rows = np.array([[words(t).count(v) for v in vocabulary] for t in texts], dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="module")
def fret(passages):
    vocabulary = sorted({w for p in passages for w in words(p.text)})
    llm = UnigramAnnotator([(p.title, p.text) for p in passages], seed=3)

    def build(**changes):
        return build_fret(
            passages,
            passages[::2],
            llm,
            bags([p.text for p in passages], vocabulary),
            lambda queries: bags([q.query for q in queries], vocabulary),
            FRetRecipe(candidates=8, **changes),
            seed=0,
        )

    return build


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


def test_seeds_are_prose_and_never_held_out(passages):
    chosen = choose_seeds(passages, {passages[0].id}, 5, range(len(passages)))
    assert [p.id for p in chosen] == [p.id for p in passages[1:6]]


def test_the_three_configs_load_with_datasets(fret, passages, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    built = fret()
    write_fret(built, passages, tmp_path / "fret")
    assert read_rows(tmp_path / "fret") == built.rows
    corpus = load_dataset(
        "parquet", data_files=str(tmp_path / "fret/corpus/*.parquet"), cache_dir=str(tmp_path), split="train"
    )
    assert corpus.column_names == ["id", "title", "text"]
    assert read_labels(tmp_path / "fret") == built.labels
    assert [json.loads(x) for x in (tmp_path / "fret/set_aside.jsonl").read_text().splitlines()] == []


def test_queries_without_a_negative_have_a_label_and_a_reason_but_no_row(fret, passages, tmp_path):
    scores = [(row["retrieval_score"], row["candidate_ids"].index(row["positive_id"])) for row in fret().labels]
    margin = sorted(min(s[:best] + s[best + 1 :]) / s[best] for s, best in scores)[len(scores) // 2]
    built = fret(negative_margin=margin)
    refused = [row for row in built.labels if row["set_aside"]]
    assert refused
    assert len(built.rows) == len(built.labels) - len(refused)
    write_fret(built, passages, tmp_path)
    assert len(read_labels(tmp_path)) == len(built.rows)
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
    write_fret(fret(), passages, tmp_path)
    assert relabel(tmp_path, passages, FRetRecipe(candidates=8, **options), 0) == fret(**options)


def test_relabelling_an_older_folder_says_what_it_lacks(passages, tmp_path):
    import datasets

    (tmp_path / "labels").mkdir()
    datasets.Dataset.from_list([{"query": "x"}]).to_parquet(tmp_path / "labels" / "train.parquet")
    with pytest.raises(OutputError, match=r"lacks the columns candidate_ids, .*grades"):
        relabel(tmp_path, passages, FRetRecipe(), 0)
    with pytest.raises(OutputError, match="There are no labels at"):
        relabel(tmp_path / "none", passages, FRetRecipe(), 0)
