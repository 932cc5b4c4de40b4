import numpy as np
import pytest

from gecko_hf.model.vectors import VectorStore, cut, top_neighbours

TEXTS = ["bread 1", "the knight protects the pawn before any castle", "bees"]


@pytest.fixture
def store(tiny_model, tmp_path):
    return VectorStore(tiny_model, tmp_path / "vectors")


def test_vectors_are_those_of_the_model_in_the_order_of_the_texts(store, tiny_model):
    expected = tiny_model.encode(["p: " + t for t in TEXTS], normalize_embeddings=True)
    np.testing.assert_allclose(store.encode(TEXTS, "p: "), expected, atol=1e-6)


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
