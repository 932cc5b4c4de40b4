"""Mining at scale: seconds, recall and memory over synthetic vectors. `python benchmarks/mining.py 10000 100000 500000`."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import record, say

CANDIDATES, BLOCK = 20, 65_536


def main() -> None:
    """Measure each size in a process of its own, so that peak memory is that size's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("passages", type=int, nargs="+")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--exact-up-to", type=int, default=100_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.passages[0], options.width, options.queries, options.exact_up_to)
        return
    say("| passages | search | index | mining, 1,000 queries | recall@20 | peak memory |\n|---|---|---|---|---|---|")
    for size in options.passages:
        rest = [f"--width={options.width}", f"--queries={options.queries}", f"--exact-up-to={options.exact_up_to}"]
        subprocess.run([sys.executable, __file__, str(size), *rest, "--child"], check=True)


def measure(total: int, width: int, queries: int, exact_up_to: int) -> None:
    """Mine `queries` among `total` vectors on disk, and print a row of the table."""
    from gecko_hf.fret.mine import build_index, open_miner, recall

    with tempfile.TemporaryDirectory() as name:
        vectors, asked = synthetic(Path(name) / "v.npy", total, width, queries)
        index, seconds = Path(name) / "v.faiss", 0.0
        if total > exact_up_to:
            start = time.perf_counter()
            build_index(vectors, index, CANDIDATES)
            seconds = time.perf_counter() - start
        miner = open_miner(vectors, exact_up_to, index)
        start = time.perf_counter()
        mined = miner.candidates(asked, list(range(queries)), CANDIDATES)
        mining = (time.perf_counter() - start) / queries * 1000
        assert len(mined.rows) == queries
        share = recall(miner, asked[:200], CANDIDATES) if miner.index else 1.0
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        search = "exact" if miner.index is None else "IVF-PQ"
        built = f"{seconds:.0f} s" if seconds else ""
        say(f"| {total:,} | {search} | {built} | {mining:.1f} s | {share:.3f} | {memory:.2f} GiB |")
        found = {"search": search, "index_seconds": seconds, "seconds_per_1000": mining, "recall": share}
        record("mining", passages=total, width=width, queries=queries, **found, memory_gib=memory)


def synthetic(file: Path, total: int, width: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around one centre for each 100 of them, memory-mapped, and queries near the first passages."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(1, total // 100), width), dtype=np.float32)
    vectors = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(total, width))
    for start in range(0, total, BLOCK):
        size = min(BLOCK, total - start)
        block = centres[rng.integers(len(centres), size=size)] + 0.7 * rng.standard_normal(
            (size, width), dtype=np.float32
        )
        vectors[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    vectors.flush()
    asked = vectors[:queries] + 0.3 / width**0.5 * rng.standard_normal((queries, width), dtype=np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    return np.load(file, mmap_mode="r"), asked


if __name__ == "__main__":
    main()
