"""FRet step 2a: the candidates of each query, the top N neighbours of task + query (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gecko_hf.model.vectors import Vectors, top_neighbours


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that may answer a query: its row in the corpus and its rank (from 1) and score in retrieval.

    `rank` is None for a seed passage that the retriever did not find and that was put among the candidates.
    """

    row: int
    rank: int | None
    score: float


def mine_candidates(queries: Vectors, passages: Vectors, seed_rows: Sequence[int], count: int) -> list[list[Candidate]]:
    """The `count` nearest passages of each query, best first; the seed is always one of them.

    A seed that is not among the nearest takes the last place, so every query has the same number of candidates (ours: the
    paper says that the original passage is included, not how).

    Args:
        queries: Unit-length vectors of task + query, shape (queries, width).
        passages: Unit-length vectors of the corpus, shape (passages, width).
        seed_rows: For each query, the corpus row of its seed.
        count: N.
    """
    found, scores = top_neighbours(queries, passages, count)
    mined = []
    for i, seed in enumerate(seed_rows):
        row = [
            Candidate(int(p), rank, float(s)) for rank, (p, s) in enumerate(zip(found[i], scores[i], strict=True), 1)
        ]
        if all(c.row != seed for c in row):
            row[-1] = Candidate(seed, None, float(queries[i] @ passages[seed]))
        mined.append(row)
    return mined
