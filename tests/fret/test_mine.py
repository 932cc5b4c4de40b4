import json
import tracemalloc

import numpy as np
import pytest

from gecko_hf.fret.mine import Miner, build_index, facts_file, index_bytes, open_miner, recall


def unit(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


PASSAGES = unit([[1, 0], [0.9, 0.1], [0.5, 0.5], [0, 1]])


def test_candidates_are_the_nearest_passages_best_first():
    mined = Miner(PASSAGES).candidates(unit([[1, 0]]), [0], 3)
    assert mined.rows.tolist() == [[0, 1, 2]]
    assert mined.ranks(0) == [1, 2, 3]
    assert mined.scores[0, 0] == 1


def test_a_seed_that_was_not_found_takes_the_last_place_without_a_rank():
    mined = Miner(PASSAGES).candidates(unit([[1, 0], [1, 0]]), [3, 1], 3)
    assert mined.rows.tolist() == [[0, 1, 3], [0, 1, 2]]
    assert (mined.ranks(0), mined.ranks(1)) == ([1, 2, None], [1, 2, 3])
    assert mined.scores[0, -1] == 0


def test_mining_equals_a_full_sort():
    rng = np.random.default_rng(0)
    queries, passages = unit(rng.normal(size=(7, 16))), unit(rng.normal(size=(200, 16)))
    mined = Miner(passages).candidates(queries, [0] * 7, 20)
    expected = np.argsort(-(queries @ passages.T), axis=1)[:, :19]
    assert mined.rows[:, :19].tolist() == expected.tolist()


@pytest.fixture(scope="module")
def clustered():
    """4,000 vectors around 200 centres, as embeddings of texts about 200 things would lie."""
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(200, 32)).repeat(20, axis=0) + 0.5 * rng.normal(size=(4000, 32)))


@pytest.fixture(scope="module")
def index(clustered, tmp_path_factory):
    """The file of an index over them; the vectors lie beside it."""
    folder = tmp_path_factory.mktemp("index")
    np.save(folder / "v.npy", clustered)
    build_index(np.load(folder / "v.npy", mmap_mode="r"), folder / "v.faiss", 20)
    return folder / "v.faiss"


def test_a_corpus_above_the_limit_is_mined_through_an_index_whose_recall_was_measured(clustered, index):
    vectors = np.load(index.with_suffix(".npy"), mmap_mode="r")
    assert open_miner(vectors, 4000, index.with_name("none")).index is None
    miner = open_miner(vectors, 3999, index)
    facts = json.loads(facts_file(index).read_text())
    assert facts["index"] == "IVF64,PQ8"
    assert facts["recall"] > 0.9
    assert recall(miner, clustered[::40], 20) == pytest.approx(facts["recall"], abs=0.05)
    found, scores = miner.neighbours(clustered[:50], 5)
    assert (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores, np.take_along_axis(clustered[:50] @ clustered.T, found, axis=1), rtol=1e-5)


def test_a_query_whose_lists_hold_too_few_passages_is_searched_exactly(clustered, index):
    miner = open_miner(clustered, 0, index)
    miner.index.nprobe = 1
    found, _ = miner.neighbours(clustered[:3], 3000)
    assert all(len(set(row)) == 3000 for row in found)


def test_such_a_query_copies_no_vectors(clustered, index):
    miner = open_miner(clustered, 0, index)
    miner.index.nprobe = 1
    miner.neighbours(clustered[:1], 200)
    tracemalloc.start()
    found, _ = miner.neighbours(clustered[:1], 200)  # a list holds some 60 passages
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(found[0]) == set(np.argsort(-(clustered @ clustered[0]))[:200])
    assert most < clustered.nbytes / 2


def test_an_index_is_as_large_as_foretold(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((20_000, 32), dtype=np.float32)
    build_index(vectors, tmp_path / "passages.ivfpq", 10)
    assert index_bytes(20_000, 32) == pytest.approx((tmp_path / "passages.ivfpq").stat().st_size, rel=0.02)
