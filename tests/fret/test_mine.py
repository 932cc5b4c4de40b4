import numpy as np

from gecko_hf.fret.mine import mine_candidates


def unit(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


PASSAGES = unit([[1, 0], [0.9, 0.1], [0.5, 0.5], [0, 1]])


def test_candidates_are_the_nearest_passages_best_first():
    (row,) = mine_candidates(unit([[1, 0]]), PASSAGES, [0], 3)
    assert [(c.row, c.rank) for c in row] == [(0, 1), (1, 2), (2, 3)]
    assert row[0].score == 1


def test_a_seed_that_was_not_found_takes_the_last_place_without_a_rank():
    (row,) = mine_candidates(unit([[1, 0]]), PASSAGES, [3], 3)
    assert [(c.row, c.rank) for c in row] == [(0, 1), (1, 2), (3, None)]
    assert row[-1].score == 0


def test_mining_equals_a_full_sort():
    rng = np.random.default_rng(0)
    queries, passages = unit(rng.normal(size=(7, 16))), unit(rng.normal(size=(200, 16)))
    mined = mine_candidates(queries, passages, [0] * 7, 20)
    expected = np.argsort(-(queries @ passages.T), axis=1)[:, :19]
    assert [[c.row for c in row][:19] for row in mined] == expected.tolist()
