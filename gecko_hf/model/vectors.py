"""Vectors that are computed once: every stage that embeds a text asks here.

Mining, evaluation and search need the same vectors of the same passages. They are kept in one `.npy` a request under the
hash of what made them (weights, precision, prompt, texts), so a restarted or later stage reads them back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from gecko_hf.model.encoder import fingerprint
from gecko_hf.model.precision import computing_in
from gecko_hf.run_folder import hash_of
from gecko_hf.text import hash64

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]
Report = Callable[[int, int | None], None]  # (done, total)
CHUNK = 512  # texts between two progress reports
BATCH = 64
SORTED = 2**18  # texts that are sorted by length at a time


def cut(vectors: Vectors, dim: int) -> Vectors:
    """The first `dim` columns, normalised to unit length again: shape (n, dim)."""
    part = vectors[:, :dim]
    return np.asarray(part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def top_neighbours(queries: Vectors, passages: Vectors, count: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    """Exact inner-product neighbours: indices and scores, best first, both of shape (queries, count)."""
    import faiss

    index = faiss.IndexFlatIP(passages.shape[1])
    index.add(np.ascontiguousarray(passages))
    scores, found = index.search(np.ascontiguousarray(queries), min(count, len(passages)))
    return found, scores


def embed_longest_first(
    texts: Sequence[str],
    width: int,
    embed: Callable[[list[str]], Vectors],
    report: Report | None = None,
    chunk: int = CHUNK,
    out: Vectors | None = None,
) -> Vectors:
    """Vectors in the order of the texts, shape (n, width), embedded longest first over every `SORTED` of them.

    So a batch holds texts of one length and little padding.

    Args:
        texts: What to embed.
        width: Columns of a vector.
        embed: Embeds a part of the texts.
        report: Told the progress after each part.
        chunk: Texts a part.
        out: Where the vectors go, a memory-mapped file perhaps; an array in memory if there is none.
    """
    vectors = np.empty((len(texts), width), dtype=np.float32) if out is None else out
    for first in range(0, len(texts), SORTED):
        block = range(first, min(first + SORTED, len(texts)))
        lengths = np.fromiter((len(texts[i]) for i in block), dtype=np.int64)
        order = first + np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), chunk):
            rows = order[start : start + chunk]
            vectors[rows] = embed([texts[int(i)] for i in rows])
            if report:
                report(first + start + len(rows), len(texts))
    return vectors


class VectorStore:
    """Encodes texts with one model and remembers the vectors on disk.

    Args:
        model: The encoder.
        folder: Where `.npy` files are kept.
        precision: `float32` or `bfloat16`, which the model computes in.
    """

    def __init__(self, model: SentenceTransformer, folder: Path, precision: str = "float32") -> None:
        self.model = model
        self.folder = folder
        self.precision = precision
        weights = fingerprint(model)
        self._made_by = weights if precision == "float32" else hash_of([weights, precision])

    @property
    def revision(self) -> str:
        """What stands for the model and its precision, short enough for a folder name."""
        return self._made_by[:12]

    def encode(self, texts: Sequence[str], prompt: str = "", report: Report | None = None) -> Vectors:
        """Unit-length float32 vectors of `prompt + text`, in the order of the texts; shape (n, width)."""
        file = self.file_of(texts, prompt)
        if file.exists():
            if report:
                report(len(texts), len(texts))
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(file.with_suffix(".lock")):  # a search may ask for what a run is embedding
                if not file.exists():
                    self._write(file, texts, prompt, report)
        return np.asarray(np.load(file, mmap_mode="r"), dtype=np.float32)  # paged in as it is read

    def _write(self, file: Path, texts: Sequence[str], prompt: str, report: Report | None) -> None:
        partial = file.with_suffix(".partial.npy")
        shape = (len(texts), self.model.get_embedding_dimension() or 0)
        vectors = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
        self.compute(texts, prompt, report, vectors)
        vectors.flush()
        partial.replace(file)  # a killed run leaves no half file under the final name

    def file_of(self, texts: Sequence[str], prompt: str = "") -> Path:
        """Where the vectors of these texts are kept, once they are."""
        return self.folder / f"{self._key(texts, prompt)}.npy"

    def _key(self, texts: Sequence[str], prompt: str) -> str:
        digest = hashlib.sha256(f"{self._made_by}\0{prompt}".encode())
        for text in texts:
            digest.update(b"\0" + text.encode())
        return digest.hexdigest()[:32]

    def compute(
        self, texts: Sequence[str], prompt: str = "", report: Report | None = None, out: Vectors | None = None
    ) -> Vectors:
        """The same as `encode`, into `out` or an array in memory, and kept nowhere."""

        def embed(part: list[str]) -> Vectors:
            with computing_in(self.precision, self.model.device):
                made = self.model.encode(
                    part,
                    prompt=prompt or "",
                    batch_size=BATCH,
                    normalize_embeddings=self.precision == "float32",
                    show_progress_bar=False,
                    convert_to_numpy=True,
                )
            # A norm that was taken in bfloat16 would be off by half a percent.
            return made if self.precision == "float32" else cut(made, made.shape[1])

        return embed_longest_first(texts, self.model.get_embedding_dimension() or 0, embed, report, out=out)


class EmbedOnce:
    """Embeds each text once, in however many lists it stands: the sets of a mixture share many of theirs.

    Args:
        encode: Gives vectors of texts, (texts, width).
    """

    def __init__(self, encode: Callable[[Sequence[str]], Vectors]) -> None:
        self._encode = encode
        self._rows: dict[int, int] = {}  # of a text's hash, in the blocks one after the other
        self._blocks: list[Vectors] = []

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Vectors in the order of the texts, (texts, width)."""
        hashes = [hash64(text) for text in texts]
        new = {h: text for h, text in zip(hashes, texts, strict=True) if h not in self._rows}
        if new or not self._blocks:
            self._blocks.append(self._encode(list(new.values())))
            self._rows.update(zip(new, count(len(self._rows))))
        rows = np.array([self._rows[h] for h in hashes], dtype=np.int64)
        ends = np.cumsum([len(block) for block in self._blocks])
        owners = np.searchsorted(ends, rows, side="right")
        vectors = np.empty((len(texts), self._blocks[0].shape[1]), dtype=np.float32)
        for i in np.unique(owners):
            here = owners == i
            vectors[here] = self._blocks[i][rows[here] - ends[i] + len(self._blocks[i])]
        return vectors
