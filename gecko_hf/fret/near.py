"""Near-identical short texts: MinHash candidates (Broder 1997), each checked exactly."""

from __future__ import annotations

import itertools

from datasketch import MinHash, MinHashLSH

from gecko_hf.corpus.passages import normalise

PERMUTATIONS = 128
MISSES_COUNT = (0.1, 0.9)  # weight of false candidates, which the exact check removes, and of missed ones


class NearIndex:
    """Texts by key, and the one that another text is nearly identical to.

    Two texts are compared by the Jaccard similarity of their words and pairs of neighbouring words, lower case and without
    punctuation: word order counts, and one changed word in ten leaves about 0.75.

    Args:
        threshold: Least similarity of two near-identical texts; 1 compares the words alone, in order.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._exact: dict[str, str] = {}
        self._grams: dict[str, frozenset[bytes]] = {}
        self._lsh = (
            MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=MISSES_COUNT) if threshold < 1 else None
        )

    def find(self, text: str) -> str | None:
        """The key of the first added text (in the order of keys, if several) that this one is nearly identical to."""
        plain = normalise(text)
        if plain in self._exact or self._lsh is None:
            return self._exact.get(plain)
        grams = _grams(plain)
        # Sorted, since the order of an LSH answer is not defined and the first match decides.
        near = (k for k in sorted(self._lsh.query(_sketch(grams))) if _jaccard(grams, self._grams[k]) >= self.threshold)
        return next(near, None)

    def add(self, key: str, text: str) -> None:
        """Add a text; an exact copy of an earlier one changes nothing."""
        plain = normalise(text)
        if plain in self._exact:
            return
        self._exact[plain] = key
        if self._lsh is not None:
            grams = _grams(plain)
            self._grams[key] = grams
            self._lsh.insert(key, _sketch(grams))


def _grams(plain: str) -> frozenset[bytes]:
    words = plain.split()
    pairs = (f"{a} {b}" for a, b in itertools.pairwise(words))
    return frozenset(gram.encode() for gram in [*words, *pairs])


def _sketch(grams: frozenset[bytes]) -> MinHash:
    sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
    sketch.update_batch(sorted(grams))
    return sketch


def _jaccard(a: frozenset[bytes], b: frozenset[bytes]) -> float:
    return len(a & b) / max(1, len(a | b))
