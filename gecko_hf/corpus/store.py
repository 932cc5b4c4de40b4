"""How a corpus lies on disk, and how it is read from there: however large, it is never in memory as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from gecko_hf.corpus.near import Hashes, rows_that_share
from gecko_hf.corpus.passages import Passage, plain_text
from gecko_hf.errors import CorpusError
from gecko_hf.text import hash64

FILE = "train.parquet"
BATCH = 4096  # passages in memory at a time
COLUMNS = ("id", "title", "text")
_SCHEMA = datasets.Features({name: datasets.Value("string") for name in COLUMNS}).arrow_schema


def write_corpus(passages: Iterable[Passage], folder: Path) -> int:
    """Write passages as parquet with columns id, title, text, which `datasets.load_dataset(folder)` reads; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, count = iter(passages), 0
    with pq.ParquetWriter(folder / FILE, _SCHEMA) as writer:
        while batch := list(itertools.islice(rows, BATCH)):
            writer.write_table(pa.table({name: [getattr(p, name) for p in batch] for name in COLUMNS}, schema=_SCHEMA))
            count += len(batch)
    return count


def stream_corpus(folder: Path) -> Iterator[Passage]:
    """The passages that `write_corpus` wrote, in order."""
    with pq.ParquetFile(folder / FILE) as file:
        for batch in file.iter_batches(BATCH, columns=list(COLUMNS)):
            yield from _passages(batch)


def read_corpus(folder: Path) -> StoredPassages:
    """The passages that `write_corpus` wrote, for access to any of them: `datasets` maps a copy in its cache into memory."""
    return StoredPassages(datasets.Dataset.from_parquet(str(folder / FILE)).data.table)


def _passages(batch: pa.RecordBatch) -> Iterator[Passage]:
    return map(Passage, *(batch.column(name).to_pylist() for name in COLUMNS))


class StoredPassages(Sequence[Passage]):
    """Passages of an Arrow table, each made when it is asked for.

    Args:
        table: With columns id, title and text.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._columns = [table.column(name) for name in COLUMNS]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, row: int) -> Passage: ...
    @overload
    def __getitem__(self, row: slice) -> list[Passage]: ...
    def __getitem__(self, row: int | slice) -> Passage | list[Passage]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        return Passage(*(column[int(row)].as_py() for column in self._columns))

    def __iter__(self) -> Iterator[Passage]:
        for batch in self.table.to_batches(BATCH):
            yield from _passages(batch)

    @property
    def texts(self) -> PlainTexts:
        """The passages as mteb hands them to a model."""
        return PlainTexts(self)

    @cached_property
    def _by_id(self) -> tuple[Hashes, npt.NDArray[np.int64]]:
        hashes = _id_hashes(self)
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    def find(self, name: str) -> Passage:
        """The passage of an id, by an index of 16 bytes a passage that the first call makes.

        Raises:
            KeyError: If there is none.
        """
        hashes, order = self._by_id
        wanted = np.uint64(hash64(name))
        for place in range(np.searchsorted(hashes, wanted, "left"), np.searchsorted(hashes, wanted, "right")):
            found = self[int(order[place])]
            if found.id == name:
                return found
        raise KeyError(name)


class PlainTexts(Sequence[str]):
    """Title and text of passages in one string, each made when it is asked for.

    Args:
        passages: The passages.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = passages

    def __len__(self) -> int:
        return len(self.passages)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        found = self.passages[row]
        return plain_text(found) if isinstance(found, Passage) else [plain_text(p) for p in found]

    def __iter__(self) -> Iterator[str]:
        return map(plain_text, self.passages)


def _id_hashes(passages: Iterable[Passage]) -> Hashes:
    return np.fromiter((hash64(p.id) for p in passages), dtype=np.uint64)


def check_ids(folder: Path) -> None:
    """Refuse two passages with one id; 16 bytes a passage are in memory.

    Raises:
        CorpusError: Naming up to five of the doubled ids.
    """
    suspects = set(rows_that_share(_id_hashes(stream_corpus(folder))).tolist())
    ids = [p.id for row, p in enumerate(stream_corpus(folder)) if row in suspects] if suspects else []
    seen: set[str] = set()
    doubled = sorted({name for name in ids if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
    if doubled:
        names = ", ".join(map(repr, doubled[:5])) + (" ..." if len(doubled) > 5 else "")
        raise CorpusError(
            f"{len(doubled)} ids stand at more than one passage: {names}. Every passage needs its own id; "
            "make them unique, or number the rows instead: corpus.id_column= (with nothing after the sign)."
        )
