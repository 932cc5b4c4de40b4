"""The word counts of a collection's passages, in a temporary file: as many passages as there are, counted once each."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Mapping

import numpy as np

from gecko_hf.text import hash64

Bag = Mapping[str, int]  # how often each word stands in a passage


class Bags:
    """Finds a passage's word counts by its text; 24 bytes a passage and each word once are in memory.

    Args:
        bags: (title, text, word counts) of each passage.
    """

    def __init__(self, bags: Iterable[tuple[str, str, Bag]]) -> None:
        words: dict[str, int] = {}
        hashes, self._ends = array("Q"), array("Q", [0])
        with tempfile.TemporaryFile() as file:
            for title, text, bag in bags:
                array("i", [*(words.setdefault(word, len(words)) for word in bag), *bag.values()]).tofile(file)
                hashes.append(_key(title, text))
                self._ends.append(self._ends[-1] + 2 * len(bag))
            file.flush()
            # The mapping outlives the file's name and its handle.
            self._values = np.memmap(file, np.int32, "r") if self._ends[-1] else np.zeros(0, np.int32)
        self._words = list(words)
        self._order = np.argsort(np.frombuffer(hashes, np.uint64), kind="stable")
        self._hashes = np.frombuffer(hashes, np.uint64)[self._order]

    def find(self, title: str, text: str) -> Bag | None:
        """The word counts of a passage, or none if the collection has no such passage."""
        wanted = np.uint64(_key(title, text))
        place = np.searchsorted(self._hashes, wanted)
        if place == len(self._hashes) or self._hashes[place] != wanted:
            return None
        row = self._order[place]
        values = self._values[self._ends[row] : self._ends[row + 1]].tolist()
        half = len(values) // 2
        return dict(zip(map(self._words.__getitem__, values[:half]), values[half:], strict=True))


def _key(title: str, text: str) -> int:
    return hash64(f"{title}\0{text}")
