"""A workshop without a run: a small library, vectors that are bags of words, and `unigram`."""

import numpy as np

from gecko_hf.fret.mine import Miner
from gecko_hf.fret.steps import DropDuplicates, JudgeCandidates, WriteQueries, parts_for
from gecko_hf.llm.unigram import UnigramAnnotator
from gecko_hf.text import words


class BagWorkshop:
    def __init__(self, passages, recipe, seed=0, tests=None):
        self.corpus, self.recipe, self.seed, self.tests = passages, recipe, seed, tests
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
