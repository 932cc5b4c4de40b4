"""How FRet grows with the corpus: `python benchmarks/fret_growth.py 1000 10000 100000` builds it with `unigram`.

The corpus is made of sentences with Zipf-distributed words, the vectors are given (a process that only embeds is
benchmarks/encode.py's), and the whole build runs: queries, mining, judging, labelling, parquet. Each size in a process of its
own. The exponent is the slope of log seconds over log rows between the first and the last size.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import record, say

if TYPE_CHECKING:
    from gecko_hf.fret.recipe import FRetRecipe

VOCABULARY, WIDTH, SENTENCES, WORDS = 20_000, 64, 4, 14


def main() -> None:
    """Measure each size in a process of its own, so that peak memory is that size's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        say(json.dumps(measure(options.rows[0])))
        return
    say(
        "| passages and seeds | search | rows/s | seconds | peak memory | FRet on disk |\n|---:|---|---:|---:|---:|---:|"
    )
    found = []
    for rows in options.rows:
        done = subprocess.run(
            [sys.executable, __file__, str(rows), "--child"], check=True, capture_output=True, text=True
        )
        row = json.loads(done.stdout.splitlines()[-1])
        found.append(row)
        say(
            f"| {rows:,} | {row['search']:.1f} s | {rows / row['seconds']:,.0f} | {row['seconds']:.1f} | "
            f"{row['memory_gib']:.2f} GiB | {row['disk_mb']:.1f} MB |"
        )
        record("fret_growth", **row)
    if len(found) > 1:
        first, last = found[0], found[-1]
        slope = math.log(last["seconds"] / first["seconds"]) / math.log(last["rows"] / first["rows"])
        say(f"\nSeconds without the search grow with the rows to the power {slope:.2f}.")


def measure(rows: int) -> dict[str, float]:
    """Build FRet of so many seeds over as many passages, with everything that stays on disk."""
    from gecko_hf.fret import steps
    from gecko_hf.fret.recipe import FRetRecipe
    from gecko_hf.fret.work import WorkFolder

    shop = Shop(rows, FRetRecipe(rows=rows))
    with tempfile.TemporaryDirectory() as folder:
        work, parts = WorkFolder(folder), steps.parts_for(rows, shop.recipe.part)
        start = time.perf_counter()
        chosen = steps.choose_seeds(shop.corpus, set(), rows, range(rows))
        steps.write_seeds(work, chosen, shop.recipe, shop.seed)
        for part in range(parts):
            steps.WriteQueries(work, lambda: shop).run(rank=part)
        steps.DropDuplicates(work, lambda: shop, parts).run()
        for part in range(parts):
            steps.JudgeCandidates(work, lambda: shop).run(rank=part)
        seconds = time.perf_counter() - start - shop.searched
        made = sum(work.read_table(f"default/{part:05d}.parquet").num_rows for part in range(parts))
        assert made == rows, f"{made} rows of {rows} seeds"
        disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {
        "rows": rows,
        "search": round(shop.searched, 2),
        "seconds": round(seconds, 2),
        "memory_gib": round(memory, 3),
        "disk_mb": round(disk / 1e6, 2),
    }


class Shop:
    """A workshop with `unigram` and given vectors; counts the seconds of the search by itself."""

    tests = None
    seed = 0

    def __init__(self, rows: int, recipe: FRetRecipe) -> None:
        from gecko_hf.corpus.passages import Passage
        from gecko_hf.fret.mine import Miner
        from gecko_hf.llm.unigram import UnigramAnnotator

        self.recipe, self.searched = recipe, 0.0
        self.corpus = [Passage(f"p{i}", f"Title {i}", text) for i, text in enumerate(texts(rows))]
        self.llm = UnigramAnnotator((p.title, p.text) for p in self.corpus)
        self.miner = self
        self.search = Miner(unit(rows, 1))

    def candidates(self, *args: Any) -> Any:
        """The miner's, with its seconds counted."""
        start = time.perf_counter()
        found = self.search.candidates(*args)
        self.searched += time.perf_counter() - start
        return found

    def encode(self, asked: list[str]) -> np.ndarray:
        """Any vectors: what is found does not matter to what is measured."""
        return unit(len(asked), 2)


def unit(count: int, seed: int) -> np.ndarray:
    """Random unit vectors: (count, WIDTH)."""
    vectors = np.random.default_rng(seed).standard_normal((count, WIDTH), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def texts(count: int) -> list[str]:
    """Passages of sentences with Zipf-distributed words."""
    draw = np.random.default_rng(0)
    ids = np.minimum(draw.zipf(1.3, size=(count, SENTENCES, WORDS)), VOCABULARY)
    return [" ".join("The " + " ".join(map(spelt, s)) + "." for s in passage) for passage in ids]


def spelt(number: int) -> str:
    """A word of letters for each number."""
    letters = "".join("bdfgklmnprstvz"[int(digit)] + "aeiou"[int(digit) % 5] for digit in str(number))
    return letters + "n"


if __name__ == "__main__":
    main()
