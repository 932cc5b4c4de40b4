"""Neighbours and hard negatives of many queries, given the vectors: ours, sentence-transformers, and FAISS by hand.

`python benchmarks/mining_peers.py` gives each of them the same unit vectors, in turns, each in a process of its own so that
peak memory is its own. sentence-transformers is asked with `use_faiss` (its faster way on a processor); by hand means
`faiss.knn`, which copies no vectors, and a loop that leaves the positive out.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from typing import Any

import numpy as np
from common import each_alone, ratio, record, say

WIDTH, CANDIDATES = 256, 20
NAMES = {"ours": "gecko_hf's Miner", "library": "mine_hard_negatives, use_faiss", "by-hand": "FAISS by hand"}


def main() -> None:
    """Measure in turns and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        say(json.dumps(measure(options.child, options.queries, options.passages)))
        return
    sizes = [f"--queries={options.queries}", f"--passages={options.passages}"]
    found = each_alone(__file__, NAMES, sizes, options.rounds)
    say(f"{options.queries:,} queries, {options.passages:,} passages of width {WIDTH}, {CANDIDATES} candidates")
    say("| | seconds | peak memory | seconds, ours to it | least | most |\n|---|---:|---:|---:|---:|---:|")
    ours = [row["seconds"] for row in found["ours"]]
    for name, rows in found.items():
        seconds, memory = [row["seconds"] for row in rows], max(row["memory_gib"] for row in rows)
        middle, least, most = ratio(ours, seconds)
        say(
            f"| {NAMES[name]} | {statistics.median(seconds):.1f} | {memory:.2f} GiB | {middle:.2f} | {least:.2f} | {most:.2f} |"
        )
        shape = {"queries": options.queries, "passages": options.passages, "width": WIDTH, "candidates": CANDIDATES}
        record("mining_peers", who=name, **shape, seconds=seconds, memory_gib=memory, ratio=round(middle, 3))


def measure(name: str, queries: int, passages: int) -> dict[str, float]:
    """Seconds and peak memory of one of them; the vectors are made before the clock starts."""
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((passages, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = vectors[:queries] + 0.05 * draw.standard_normal((queries, WIDTH), dtype=np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    import datasets  # noqa: F401  (what is imported is not mined)
    import faiss  # noqa: F401
    import sentence_transformers.util  # noqa: F401

    import gecko_hf.fret.mine  # noqa: F401

    work = {"ours": with_ours, "library": with_library, "by-hand": by_hand}[name]
    start = time.perf_counter()
    rows = work(asked, vectors)
    seconds = time.perf_counter() - start
    assert rows == queries, f"{rows} queries came back of {queries}"
    return {"seconds": seconds, "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2}


def with_ours(asked: np.ndarray, vectors: np.ndarray) -> int:
    """The Miner: candidates with the seed always among them, and the last that is not the seed as the hard negative."""
    from gecko_hf.fret.mine import Miner

    mined = Miner(vectors).candidates(asked, list(range(len(asked))), CANDIDATES)
    return len([next(j for j in row[::-1] if j != i) for i, row in enumerate(mined.rows.tolist())])


def with_library(asked: np.ndarray, vectors: np.ndarray) -> int:
    """sentence-transformers' function, with a model that gives the vectors it is asked for."""
    import datasets
    from sentence_transformers.util import mine_hard_negatives

    texts = [f"passage {i}" for i in range(len(vectors))]
    pairs = datasets.Dataset.from_dict(
        {"query": [f"query {i}" for i in range(len(asked))], "positive": texts[: len(asked)]}
    )
    mined = mine_hard_negatives(
        pairs,
        Given(asked, vectors),  # type: ignore[arg-type]
        corpus=texts,
        range_max=CANDIDATES,
        num_negatives=1,
        use_faiss=True,
        verbose=False,
    )
    return len(mined)


def by_hand(asked: np.ndarray, vectors: np.ndarray) -> int:
    """One exact search, and the last neighbour that is not the positive."""
    import faiss

    _, found = faiss.knn(asked, vectors, CANDIDATES, metric=faiss.METRIC_INNER_PRODUCT)
    return len([next(j for j in row[::-1] if j != i) for i, row in enumerate(found.tolist())])


class Given:
    """Stands for a model in `mine_hard_negatives`: what it is asked to embed is known."""

    device = "cpu"

    def __init__(self, queries: np.ndarray, passages: np.ndarray) -> None:
        self.queries, self.passages = queries, passages

    def encode_query(self, texts: list[str], **options: Any) -> np.ndarray:
        """The queries' vectors."""
        return self.queries

    def encode_document(self, texts: list[str], **options: Any) -> np.ndarray:
        """The passages' vectors, or those of some positives; all of them without a copy."""
        rows = [int(text.split()[1]) for text in texts]
        return self.passages if rows == list(range(len(self.passages))) else self.passages[rows]

    def get_embedding_dimension(self) -> int:
        """Width."""
        return WIDTH

    def similarity_pairwise(self, one: Any, other: Any) -> Any:
        """Cosine of unit vectors."""
        import torch

        return (torch.as_tensor(one) * torch.as_tensor(other)).sum(dim=1)


if __name__ == "__main__":
    main()
