"""Near-identical texts: MinHash candidates (Broder 1997), each compared by its grams.

Two texts are as similar as their sets of grams are by Jaccard, lower case and without punctuation. Grams are compared by 64-bit
hashes, and so are whole texts: among a hundred million, two that differ share one with a chance of 0.0003.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash
from datasketch import MinHash, MinHashLSH

from gecko_hf.corpus.passages import normalise
from gecko_hf.text import hash64

PERMUTATIONS = 128
MISSES_COUNT = (0.1, 0.9)  # weight of false candidates, which the comparison removes, and of missed ones
RUN = 5  # words

Hashes = npt.NDArray[np.uint64]
Grams = Callable[[str], Hashes]


def words_and_pairs(plain: str) -> Hashes:
    """The words of a normalised text and the pairs of neighbours, for short texts: one changed word in ten leaves 0.75."""
    words = plain.split()
    return _hashed([*words, *map(" ".join, itertools.pairwise(words))])


def word_runs(plain: str) -> Hashes:
    """Every five words in a row of a normalised text, for passages; a shorter text is one run."""
    words = plain.split()
    return _hashed(" ".join(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1)))


def _hashed(grams: Iterable[str]) -> Hashes:
    return np.array(sorted(set(map(hash64, grams))), dtype=np.uint64)


def _jaccard(a: Hashes, b: Hashes) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / max(1, len(a) + len(b) - both)


class Sketches:
    """MinHash sketches for a threshold, and the bands of them that near-identical texts are likely to share.

    Args:
        threshold: Least similarity, below 1.
    """

    _empty = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int)

    def __init__(self, threshold: float) -> None:
        self.lsh = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=MISSES_COUNT)

    def sketch(self, grams: Hashes) -> MinHash:
        """The sketch of a set of grams."""
        sketch = self._empty.copy()
        sketch.update_batch((grams & np.uint64(0xFFFFFFFF)).tolist())  # datasketch permutes 32 bits
        return sketch

    def bands(self, grams: Hashes) -> list[int]:
        """A 64-bit hash for each band of the sketch."""
        values = self.sketch(grams).hashvalues
        return [xxhash.xxh3_64_intdigest(values[start:end].tobytes()) for start, end in self.lsh.hashranges]


class NearIndex:
    """Short texts by key, and the one that another text is nearly identical to; all are kept in memory.

    Args:
        threshold: Least similarity of two near-identical texts; 1 compares the words alone, in order.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._exact: dict[str, str] = {}
        self._grams: dict[str, Hashes] = {}
        self._sketches = Sketches(threshold) if threshold < 1 else None

    def find(self, text: str) -> str | None:
        """The key of the first added text (in the order of keys, if several) that this one is nearly identical to."""
        plain = normalise(text)
        if plain in self._exact or self._sketches is None:
            return self._exact.get(plain)
        grams = words_and_pairs(plain)
        # Sorted, since the order of an LSH answer is not defined and the first match decides.
        candidates = sorted(self._sketches.lsh.query(self._sketches.sketch(grams)))
        return next((k for k in candidates if _jaccard(grams, self._grams[k]) >= self.threshold), None)

    def add(self, key: str, text: str) -> None:
        """Add a text; an exact copy of an earlier one changes nothing."""
        plain = normalise(text)
        if plain in self._exact:
            return
        self._exact[plain] = key
        if self._sketches is not None:
            self._grams[key] = words_and_pairs(plain)
            self._sketches.lsh.insert(key, self._sketches.sketch(self._grams[key]))


def near_identical(
    read: Callable[[], Iterable[str]], threshold: float, grams: Grams, folder: Path | None = None
) -> dict[int, int]:
    """The texts that are nearly identical to an earlier one that stays: row -> row of that.

    The texts are read twice. First a few 64-bit hashes of each go to a temporary file: of its words in order and, for a
    threshold below 1, of every band of its sketch. Then those that share a hash with another are compared. So memory holds
    17 bytes a text, and the grams of those alone that share a hash and stay.

    Args:
        read: Opens the texts, the same ones in the same order each time.
        threshold: Least similarity of two near-identical texts; 1 compares the words alone, in order.
        grams: `words_and_pairs` or `word_runs`.
        folder: Where the temporary file goes (72 bytes a text at a threshold of 0.9).
    """
    sketches = Sketches(threshold) if threshold < 1 else None
    width = 1 + (len(sketches.lsh.hashranges) if sketches else 0)
    with tempfile.TemporaryFile(dir=folder) as file:
        for text in read():
            plain = normalise(text)
            hashes = [hash64(plain), *(sketches.bands(grams(plain)) if sketches else ())]
            file.write(np.array(hashes, dtype=np.uint64).tobytes())
        if not file.tell():
            return {}
        file.flush()
        bands = np.memmap(file, np.uint64, mode="r").reshape(-1, width)
        shared = np.zeros(len(bands), dtype=np.bool_)
        for band in bands.T:
            shared[rows_that_share(band)] = True
        suspects = ((row, bands[row].tolist(), text) for row, text in enumerate(read()) if shared[row])
        return _compare(suspects, threshold, grams)


def _compare(suspects: Iterable[tuple[int, list[int], str]], threshold: float, grams: Grams) -> dict[int, int]:
    """The rows that are like an earlier one that stays, of (row, hashes of its words and its bands, text) in order."""
    stays: dict[tuple[int, int], list[int]] = defaultdict(list)  # (place among the hashes, hash) -> rows, in order
    compared: dict[int, Hashes] = {}
    twins: dict[int, int] = {}
    for row, hashes, text in suspects:
        whole, *bands = enumerate(hashes)
        same = stays.get(whole, [])
        if not same and bands:
            own = grams(normalise(text))
            near = sorted({r for key in bands for r in stays.get(key, ())})
            same = [r for r in near if _jaccard(own, compared[r]) >= threshold]
        if same:
            twins[row] = same[0]
            continue
        for key in (whole, *bands):
            stays[key].append(row)
        if bands:
            compared[row] = own
    return twins


def rows_that_share(hashes: Hashes) -> npt.NDArray[np.int64]:
    """The rows whose hash another row has too."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    same = np.flatnonzero(ranked[1:] == ranked[:-1])
    return np.unique(order[np.concatenate([same, same + 1])])
