import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gecko_hf.model import vectors
from gecko_hf.model.vectors import EmbedOnce, VectorStore, cut, top_neighbours

TEXTS = ["bread 1", "the knight protects the pawn before any castle", "bees"]


@pytest.fixture
def store(tiny_model, tmp_path):
    return VectorStore(tiny_model, tmp_path / "vectors")


def test_vectors_are_those_of_the_model_in_the_order_of_the_texts(store, tiny_model):
    expected = tiny_model.encode(["p: " + t for t in TEXTS], normalize_embeddings=True)
    np.testing.assert_allclose(store.encode(TEXTS, "p: "), expected, atol=1e-6)


def test_more_texts_than_are_sorted_at_a_time_keep_their_order_too(store, monkeypatch):
    texts = [f"bread {'and bees ' * (i % 5)}{i}" for i in range(11)]
    whole, seen = store.compute(texts), []
    monkeypatch.setattr(vectors, "SORTED", 4)
    np.testing.assert_allclose(store.encode(texts, report=lambda *told: seen.append(told)), whole, atol=1e-6)
    assert seen == [(4, 11), (8, 11), (11, 11)]


def test_two_who_ask_for_the_same_at_once_embed_it_once(tiny_model, tmp_path):
    """A search beside a run: two that write one file would leave zeros in it."""
    calls = []

    class Slow(VectorStore):
        def compute(self, texts, *rest):
            calls.append(len(texts))
            time.sleep(0.3)
            return super().compute(texts, *rest)

    texts = ["bread", "oven", "hive"]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda store: store.encode(texts), [Slow(tiny_model, tmp_path) for _ in range(2)])
    assert calls == [3]
    assert np.array_equal(first, second)
    assert np.abs(first).sum(axis=1).min() > 0


def test_bfloat16_gives_nearly_the_same_unit_vectors_under_a_name_of_their_own(store, tiny_model):
    half = VectorStore(tiny_model, store.folder, "bfloat16")
    whole, rough = store.encode(TEXTS), half.encode(TEXTS)
    assert not np.array_equal(whole, rough)
    np.testing.assert_allclose((whole * rough).sum(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(rough, axis=1), 1, atol=1e-6)
    assert half.file_of(TEXTS) != store.file_of(TEXTS)
    assert half.revision != store.revision


def test_no_texts_have_no_vectors(store, tiny_model):
    assert store.encode([]).shape == (0, tiny_model.get_embedding_dimension())


def test_vectors_on_disk_cannot_be_changed_by_who_reads_them(store):
    with pytest.raises(ValueError, match="read-only"):
        store.encode(TEXTS)[0, 0] = 1


def test_a_second_request_reads_the_first_ones_file(store, monkeypatch):
    first = store.encode(TEXTS)
    monkeypatch.setattr(store, "compute", lambda *_: pytest.fail("embedded again"))
    np.testing.assert_array_equal(store.encode(TEXTS), first)


@pytest.mark.parametrize("change", ["text", "prompt", "order"])
def test_anything_that_changes_a_vector_changes_its_file(store, change):
    store.encode(TEXTS)
    other = {"text": (["bread 2", *TEXTS[1:]], ""), "prompt": (TEXTS, "q: "), "order": (TEXTS[::-1], "")}[change]
    store.encode(*other)
    assert len(list(store.folder.glob("*.npy"))) == 2


def test_progress_ends_with_everything_done(store):
    seen = []
    store.encode(TEXTS, report=lambda done, total: seen.append((done, total)))
    store.encode(TEXTS, report=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 3), (3, 3)]


def test_cut_vectors_have_unit_length_again():
    vectors = cut(np.array([[3, 4, 12], [0, 0, 5]], dtype=np.float32), 2)
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 0]])


def test_neighbours_are_exact_and_never_more_than_there_are():
    found, scores = top_neighbours(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 5)
    assert found.tolist() == [[0, 1], [1, 0]]
    assert scores.tolist() == [[1, 0], [1, 0]]


def test_a_text_of_several_lists_is_embedded_once_and_every_list_has_its_vector():
    seen: list[str] = []

    def encode(texts):
        seen.extend(texts)
        return np.array([[float(text), -float(text)] for text in texts], dtype=np.float32).reshape(-1, 2)

    once = EmbedOnce(encode)
    for texts in (["4", "1", "4"], ["2", "1", "3", "2"], ["3", "4"], []):
        np.testing.assert_array_equal(once(texts)[:, 0], np.array(texts, dtype=np.float32))
    assert seen == ["4", "1", "2", "3"]
    assert EmbedOnce(encode)([]).shape == (0, 2)
