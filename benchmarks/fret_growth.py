"""How FRet grows with the corpus: `python benchmarks/fret_growth.py 1000 10000 100000` builds it with `unigram`.

The corpus is made of sentences with Zipf-distributed words and is gathered as a source's text is: draft, ids, near-identical
passages, parquet. The vectors are given, in a file (a process that only embeds is benchmarks/encode.py's). Then the whole build
runs: queries, exact search, judging, labelling, parquet. Each size in a process of its own.

Memory is what the process itself holds (`RssAnon`, sampled); corpus and vectors are mapped files, whose pages the system takes
back when it needs them. The exponents are slopes of log seconds between neighbouring sizes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import record, say

if TYPE_CHECKING:
    from gecko_hf.corpus.passages import Passage
    from gecko_hf.corpus.store import StoredPassages
    from gecko_hf.fret.mine import Miner
    from gecko_hf.fret.recipe import FRetRecipe

VOCABULARY, WIDTH, SENTENCES, WORDS = 20_000, 64, 4, 14
BLOCK = 10_000  # passages or vectors that are made at once
SAMPLED = 0.02  # seconds between two readings of the memory


def main() -> None:
    """Measure each size in a process of its own, so that peak memory is that size's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="+", help="passages")
    parser.add_argument("--seeds", type=int, help="seeds, at most; every passage by default")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        say(json.dumps(measure(options.rows[0], options.seeds)))
        return
    say("| passages | seeds | corpus | search | the rest | rows/s | memory | FRet on disk |\n|" + "---:|" * 8)
    found = []
    for rows in options.rows:
        seeds = min(rows, options.seeds or rows)
        command = [sys.executable, __file__, str(rows), f"--seeds={seeds}", "--child"]
        with tempfile.TemporaryDirectory() as cache:  # the mapped copy of the corpus
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=os.environ | {"HF_DATASETS_CACHE": cache}
            )
        row = json.loads(done.stdout.splitlines()[-1])
        found.append(row)
        say(
            f"| {rows:,} | {seeds:,} | {row['corpus']:.1f} s | {row['search']:.1f} s | "
            f"{row['seconds']:.1f} s | {seeds / row['seconds']:,.0f} | {row['memory_mib']:,.0f} MiB | {row['disk_mb']:.1f} MB |"
        )
        record("fret_growth", **row)
    for less, more in itertools.pairwise(found):
        say(
            f"\nFrom {less['rows']:,} to {more['rows']:,} passages the seconds to gather them grow to the power "
            f"{slope(less, more, 'corpus', 'rows'):.2f}",
            "",
        )
        if less["seeds"] != more["seeds"]:
            say(f", those of the rest to the power {slope(less, more, 'seconds', 'seeds'):.2f} of the seeds", "")
        say(".")


def slope(less: dict[str, float], more: dict[str, float], seconds: str, size: str) -> float:
    """The exponent between two sizes."""
    return math.log(more[seconds] / less[seconds]) / math.log(more[size] / less[size])


def measure(rows: int, seeds: int) -> dict[str, float]:
    """Build FRet of so many seeds over as many passages, with everything that stays on disk."""
    from gecko_hf.fret import steps
    from gecko_hf.fret.mine import Miner
    from gecko_hf.fret.recipe import FRetRecipe
    from gecko_hf.fret.work import WorkFolder

    recipe = FRetRecipe(rows=seeds)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary, peak_memory() as memory:
        folder = Path(temporary)
        with timed(seconds, "corpus"):
            corpus = gathered(rows, folder)
        given = vectors(rows, folder / "vectors.npy")
        work, parts = WorkFolder(str(folder / "work")), steps.parts_for(seeds, recipe.part)
        with timed(seconds, "rest"):
            shop = Shop(corpus, Miner(given), recipe)
            chosen = steps.choose_seeds(shop.corpus, set(), seeds, range(rows))
            steps.write_seeds(work, chosen, shop.recipe, shop.seed)
            for part in range(parts):
                steps.WriteQueries(work, lambda: shop).run(rank=part)
            steps.DropDuplicates(work, lambda: shop, parts).run()
            for part in range(parts):
                steps.JudgeCandidates(work, lambda: shop).run(rank=part)
        made = sum(work.read_table(f"default/{part:05d}.parquet").num_rows for part in range(parts))
        assert made == seeds, f"{made} rows of {seeds} seeds"
        disk = sum(file.stat().st_size for file in (folder / "work").rglob("*") if file.is_file())
    return {
        "rows": rows,
        "seeds": seeds,
        "corpus": round(seconds["corpus"], 2),
        "search": round(shop.searched, 2),
        "seconds": round(seconds["rest"] - shop.searched, 2),
        "memory_mib": round(memory[0] / 1024),
        "disk_mb": round(disk / 1e6, 2),
    }


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Write down how long a block takes."""
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The most KiB that the process itself held, in a list of one number."""
    peak, stop = [0], threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLED):
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            peak[0] = max(peak[0], *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    yield peak
    stop.set()
    thread.join()


def gathered(rows: int, folder: Path) -> StoredPassages:
    """A corpus as the stage of that name makes it."""
    from gecko_hf.corpus.gather import Draft
    from gecko_hf.corpus.recipe import CorpusRecipe
    from gecko_hf.corpus.store import read_corpus

    with Draft(folder / "draft") as draft:
        draft.write(passages(rows))
        draft.finish(CorpusRecipe().near_duplicate, folder / "corpus")
    return read_corpus(folder / "corpus")


def passages(count: int) -> Iterator[Passage]:
    """Passages of sentences with Zipf-distributed words."""
    from gecko_hf.corpus.passages import Passage

    draw = np.random.default_rng(0)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        ids = np.minimum(draw.zipf(1.3, size=(size, SENTENCES, WORDS)), VOCABULARY)
        for row, sentences in enumerate(ids.tolist(), start):
            text = " ".join("The " + " ".join(map(spelt, s)) + "." for s in sentences)
            yield Passage(f"p{row}", f"Title {row}", text)


def spelt(number: int) -> str:
    """A word of letters for each number."""
    letters = "".join("bdfgklmnprstvz"[int(digit)] + "aeiou"[int(digit) % 5] for digit in str(number))
    return letters + "n"


def vectors(rows: int, file: Path) -> np.ndarray:
    """Random unit vectors, mapped: (rows, WIDTH)."""
    made = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(rows, WIDTH))
    for start in range(0, rows, BLOCK):
        made[start : start + BLOCK] = unit(min(BLOCK, rows - start), start + 1)
    made.flush()
    return np.load(file, mmap_mode="r")


def unit(count: int, seed: int) -> np.ndarray:
    """Random unit vectors: (count, WIDTH)."""
    made = np.random.default_rng(seed).standard_normal((count, WIDTH), dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


class Shop:
    """A workshop with `unigram` and given vectors; counts the seconds of the search by itself."""

    tests = None
    seed = 0

    def __init__(self, corpus: StoredPassages, miner: Miner, recipe: FRetRecipe) -> None:
        from gecko_hf.llm.unigram import UnigramAnnotator

        self.recipe, self.searched, self.corpus = recipe, 0.0, corpus
        self.llm = UnigramAnnotator((p.title, p.text) for p in corpus)
        self.miner, self.search = self, miner

    def candidates(self, *args: Any) -> Any:
        """The miner's, with its seconds counted."""
        start = time.perf_counter()
        found = self.search.candidates(*args)
        self.searched += time.perf_counter() - start
        return found

    def encode(self, asked: list[str]) -> np.ndarray:
        """Any vectors: what is found does not matter to what is measured."""
        return unit(len(asked), 0)


if __name__ == "__main__":
    main()
