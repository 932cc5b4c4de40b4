"""A workshop without a run: a small library, vectors that are bags of words, and `unigram`."""

import numpy as np
import pytest

from gecko_hf.fret.build import FRet, read_part
from gecko_hf.fret.mine import Miner
from gecko_hf.fret.recipe import FRetRecipe
from gecko_hf.fret.steps import DropDuplicates, JudgeCandidates, WriteQueries, parts_for, rejected_of, write_seeds
from gecko_hf.fret.work import WorkFolder
from gecko_hf.llm.unigram import UnigramAnnotator
from gecko_hf.text import words


class BagWorkshop:
    def __init__(self, passages, recipe, seed=0):
        self.corpus, self.recipe, self.seed, self.tests = passages, recipe, seed, None
        self.vocabulary = sorted({w for p in passages for w in words(p.text)})
        self.llm = UnigramAnnotator([(p.title, p.text) for p in passages], seed=3)
        self.miner = Miner(self.encode([p.text for p in passages]))

    def encode(self, texts):
        rows = np.array([[words(t).count(v) for v in self.vocabulary] for t in texts], dtype=np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def steps_of(shop, work, count):
    parts = parts_for(count, shop.recipe.part)
    opener = lambda: shop  # noqa: E731
    return [
        (WriteQueries(work, opener), parts),
        (DropDuplicates(work, opener, parts), 1),
        (JudgeCandidates(work, opener), parts),
    ]


def gather(work, parts) -> FRet:
    from pathlib import Path

    read = lambda name: [row for i in range(parts) for row in read_part(Path(work.url) / name / f"{i:05d}.parquet")]  # noqa: E731
    return FRet(read("default"), read("labels"), [r for i in range(parts) for r in rejected_of(work, i)])


@pytest.fixture(scope="session")
def build_fret(passages, tmp_path_factory):
    """Builds FRet over every second passage of the library with some options of the recipe."""

    def build(**changes) -> FRet:
        shop = BagWorkshop(passages, FRetRecipe(**({"candidates": 8} | changes)))
        work = WorkFolder(str(tmp_path_factory.mktemp("work")))
        seeds = range(0, len(passages), 2)
        write_seeds(work, seeds, shop.recipe, shop.seed)
        steps = steps_of(shop, work, len(seeds))
        for step, parts in steps:
            for rank in range(parts):
                step(None, rank, parts)
        return gather(work, steps[-1][1])

    return build
