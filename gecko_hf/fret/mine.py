"""FRet step 2a: the candidates of each query, the top N neighbours of task + query (paper, section 3.2).

Neighbours are exact while the corpus is small enough to compare with every passage. Beyond that an IVF-PQ index (Jegou et al.
2011) proposes `REFINE` times as many passages, which are then scored with their full vectors; its recall against exact search is
measured on a sample when it is built. Vectors may be memory-mapped: nothing here copies them all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gecko_hf.model.vectors import Vectors

REFINE = 10  # ours: proposals of the index for each neighbour that is kept
TRAIN_PER_LIST = 40  # faiss asks for at least 39 training vectors a list
PROBED = 16  # ours: one list in so many is searched
BLOCK = 65_536  # vectors that are added at a time
ID_BYTES, FLOAT_BYTES = 8, 4
SAMPLE = 200  # passages whose neighbours measure the recall


@dataclass(frozen=True, slots=True)
class Mined:
    """The candidates of queries, best first.

    Attributes:
        rows: Rows of the corpus, shape (queries, candidates).
        scores: Inner products, of the same shape.
        found: For each query, whether the retriever found its seed. If not, the seed was put in the last place.
    """

    rows: npt.NDArray[np.int64]
    scores: Vectors
    found: npt.NDArray[np.bool_]

    def ranks(self, query: int) -> list[int | None]:
        """The candidates' ranks in retrieval, from 1; None for a seed that the retriever did not find."""
        count = self.rows.shape[1]
        return [*range(1, count), count if self.found[query] else None]


class Miner:
    """Nearest passages by inner product.

    Args:
        passages: Unit-length vectors of the corpus, shape (passages, width).
        index: A FAISS index over them that proposes neighbours; without one, search is exact.
    """

    def __init__(self, passages: Vectors, index: Any = None) -> None:
        self.passages = passages
        self.index = index

    def neighbours(self, queries: Vectors, count: int) -> tuple[npt.NDArray[np.int64], Vectors]:
        """Rows and scores of the `count` nearest passages (or of all), best first, both of shape (queries, count)."""
        count = min(count, len(self.passages))
        if self.index is None:
            return self._exact(queries, count)
        _, proposed = self.index.search(np.ascontiguousarray(queries), min(REFINE * count, len(self.passages)))
        found = np.empty((len(queries), count), dtype=np.int64)
        scores = np.empty((len(queries), count), dtype=np.float32)
        for i, rows in enumerate(proposed):
            rows = np.sort(rows[rows >= 0])
            if len(rows) < count:  # the searched lists hold too few passages
                found[i : i + 1], scores[i : i + 1] = self._exact(queries[i : i + 1], count)
                continue
            exact = self.passages[rows] @ queries[i]
            best = np.argsort(-exact, kind="stable")[:count]
            found[i], scores[i] = rows[best], exact[best]
        return found, scores

    def _exact(self, queries: Vectors, count: int) -> tuple[npt.NDArray[np.int64], Vectors]:
        """`neighbours` among all passages, which are read where they lie."""
        import faiss

        scores, found = faiss.knn(queries, self.passages, count, metric=faiss.METRIC_INNER_PRODUCT)
        return found, scores

    def candidates(self, queries: Vectors, seed_rows: Sequence[int], count: int) -> Mined:
        """The `count` nearest passages of each query, best first; the seed is always one of them.

        A seed that is not among the nearest takes the last place, so every query has the same number of candidates (ours:
        the paper says that the original passage is included, not how).

        Args:
            queries: Unit-length vectors of task + query, shape (queries, width).
            seed_rows: For each query, the corpus row of its seed.
            count: N.
        """
        rows, scores = self.neighbours(queries, count)
        seeds = np.asarray(seed_rows, dtype=np.int64)
        found = (rows == seeds[:, None]).any(axis=1)
        rows[~found, -1] = seeds[~found]
        for i in np.flatnonzero(~found):
            scores[i, -1] = queries[i] @ self.passages[seeds[i]]
        return Mined(rows, scores, found)


def recall(miner: Miner, queries: Vectors, count: int) -> float:
    """The share of the exact `count` neighbours of the queries that a miner finds."""
    exact, _ = Miner(miner.passages).neighbours(queries, count)
    found, _ = miner.neighbours(queries, count)
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(exact, found, strict=True)]))


def build_index(
    passages: Vectors, file: Path, count: int, report: Callable[[int, int | None], None] | None = None
) -> None:
    """Build an IVF-PQ index of the passages, and write it with `mining.json` beside it: its kind and its measured recall.

    Args:
        passages: Unit-length vectors, shape (passages, width).
        file: Where the index goes; written whole.
        count: The number of neighbours that recall is measured for.
        report: Called with (passages added, passages).
    """
    import faiss

    total, width = passages.shape
    lists, codes = index_shape(total, width)
    kind = f"IVF{lists},PQ{codes}"
    index: Any = faiss.index_factory(width, kind, faiss.METRIC_INNER_PRODUCT)
    draw = np.random.default_rng(0)
    index.train(np.asarray(passages[np.sort(draw.permutation(total)[: max(256, TRAIN_PER_LIST * lists)])]))
    for start in range(0, total, BLOCK):
        index.add(np.ascontiguousarray(passages[start : start + BLOCK]))
        if report:
            report(min(start + BLOCK, total), total)
    index.nprobe = max(1, lists // PROBED)
    sample = np.asarray(passages[np.sort(draw.permutation(total)[:SAMPLE])])
    found = recall(Miner(passages, index), sample, count)
    facts = {
        "index": kind,
        "probed": index.nprobe,
        "recall": round(found, 4),
        "recall_at": count,
        "queries": len(sample),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    faiss.write_index(index, str(partial))
    facts_file(file).write_text(json.dumps(facts), encoding="utf-8")
    partial.replace(file)  # last: an index that is there is whole and has its facts


def index_shape(passages: int, width: int) -> tuple[int, int]:
    """Lists of an index, and the bytes that stand for a passage's vector in it."""
    lists = max(1, 2 ** round(math.log2(math.sqrt(passages))))
    return lists, next(c for c in range(max(1, width // 4), 0, -1) if width % c == 0)


def index_bytes(passages: int, width: int) -> int:
    """How large an index is: a code and an 8-byte id a passage, a centre a list, 256 centres for each byte of a code."""
    lists, codes = index_shape(passages, width)
    return passages * (codes + ID_BYTES) + FLOAT_BYTES * width * (lists + 256)


def facts_file(file: Path) -> Path:
    """Where the facts about an index stand."""
    return file.with_suffix(".json")


def open_miner(passages: Vectors, exact_up_to: int, file: Path) -> Miner:
    """The miner of a corpus: exact, or with the index in `file` where there are more passages than `exact_up_to`."""
    import faiss

    if len(passages) <= exact_up_to:
        return Miner(passages)
    return Miner(passages, faiss.read_index(str(file), faiss.IO_FLAG_MMAP))
