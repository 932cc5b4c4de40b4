"""Scores are mteb's own: the same model and data through mteb's plain wrapper give the same numbers."""

import mteb
import pytest
from sentence_transformers import SentenceTransformer

from gecko_hf.evaluation.encoder import stored_encoder
from gecko_hf.evaluation.score import BM25, METRICS, retrieval_task, score
from gecko_hf.evaluation.yardstick import YardstickQuery
from gecko_hf.model.encoder import save_encoder
from gecko_hf.model.vectors import VectorStore


@pytest.fixture
def task(passages):
    queries = [
        YardstickQuery(f"q{i}", p.text.split(".")[0], [p.id], "dev" if i % 4 == 0 else "test")
        for i, p in enumerate(passages)
    ]
    return retrieval_task("TinyRetrieval", "Sentences and the passages that they open.", passages, queries)


@pytest.fixture
def saved(tiny_model, tmp_path):
    save_encoder(tiny_model, tmp_path / "model")
    return SentenceTransformer(str(tmp_path / "model"), device="cpu")


@pytest.mark.filterwarnings("ignore")  # mteb warns of fields that a local task leaves open
@pytest.mark.parametrize("dim", [32, 8])
def test_a_stored_encoder_scores_as_mteb_scores_the_model_itself(task, saved, tmp_path, dim):
    store = VectorStore(saved, tmp_path / "vectors")
    ours = score(
        stored_encoder(store, dim, f"tests/tiny-{dim}"),
        task,
        tmp_path / "r",
        label="t",
        role="gecko",
        dim=dim,
    )
    plain = SentenceTransformer(
        saved.model_card_data.base_model or str(tmp_path / "model"), truncate_dim=dim, device="cpu"
    )
    theirs = mteb.evaluate(plain, task, cache=None, co2_tracker=False, show_progress_bar=False).task_results[0].scores
    for row in ours:
        for metric in METRICS:
            assert row.metrics[metric] == pytest.approx(theirs[row.split][0][metric], abs=1e-5)


def test_queries_get_the_query_prompt_and_passages_the_document_prompt(task, saved, tmp_path):
    asked = []

    class Spy(VectorStore):
        def encode(self, texts, prompt="", report=None):
            asked.append((prompt, len(texts)))
            return super().encode(texts, prompt, report)

    store = Spy(saved, tmp_path / "vectors")
    score(stored_encoder(store, 8, "tests/spy"), task, tmp_path / "r", label="t", role="gecko", dim=8)
    assert set(asked) == {
        ("title: none | text: ", 64),
        ("task: search result | query: ", 16),
        ("task: search result | query: ", 48),
    }


def test_each_split_is_scored_on_its_own_queries(task, tmp_path):
    scores = score(BM25(), task, tmp_path / "r", label="BM25", role="bm25", dim=None)
    assert [s.split for s in scores] == ["dev", "test"]
    assert all(0.5 < s.metrics["ndcg_at_10"] <= 1 for s in scores)  # the queries are sentences of the passages


def test_a_result_on_disk_is_not_computed_again(task, saved, tmp_path, monkeypatch):
    store = VectorStore(saved, tmp_path / "vectors")
    encoder = stored_encoder(store, 8, "tests/again")
    first = score(encoder, task, tmp_path / "r", label="t", role="gecko", dim=8)
    monkeypatch.setattr(store, "encode", lambda *_: pytest.fail("embedded again"))
    assert score(encoder, task, tmp_path / "r", label="t", role="gecko", dim=8) == first


def test_a_model_whose_prompts_changed_is_scored_again(task, saved, tmp_path):
    store = VectorStore(saved, tmp_path / "vectors")

    def found(folder):
        return score(stored_encoder(store, 8, "tests/worded"), task, tmp_path / folder, label="t", role="gecko", dim=8)

    before = found("r")
    saved.prompts = {**saved.prompts, "Retrieval-query": "bread sailing chess "}
    assert found("r") == found("anew") != before


def test_a_yardstick_that_changed_is_scored_again(task, saved, passages, tmp_path):
    """mteb itself would take the old result: it looks for missing splits only."""
    encoder = stored_encoder(VectorStore(saved, tmp_path / "vectors"), 8, "tests/changed")
    first = score(encoder, task, tmp_path / "r", label="t", role="gecko", dim=8)
    queries = [YardstickQuery("q", passages[0].text, [passages[0].id], split) for split in ("dev", "test")]
    changed = retrieval_task("TinyRetrieval", "One query.", passages, queries)
    assert score(encoder, changed, tmp_path / "r", label="t", role="gecko", dim=8) != first
