"""Passages: what a corpus is made of, how near-identical ones are merged, and how a corpus lies on disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import datasets
import numpy as np
from datasketch import MinHash, MinHashLSH

from gecko_hf.errors import CorpusError
from gecko_hf.prompts import title_and_text

SHINGLE_WORDS = 5


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of text that can be the answer to a query. `title` may be empty, `id` and `text` may not."""

    id: str
    title: str
    text: str


def plain_text(passage: Passage) -> str:
    """A passage as mteb hands it to a model: title and text in one string."""
    return title_and_text(passage.title, passage.text)


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something of the input that could not be used, where it was, and why."""

    where: str
    reason: str


@dataclass
class Corpus:
    """Passages, the ids that were merged into others (merged id -> kept id), and what was set aside."""

    passages: list[Passage]
    merged: dict[str, str] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)


def normalise(text: str) -> str:
    """Lower case, letters and digits only, single spaces: what 'the same text' means in this project."""
    return " ".join(re.sub(r"[\W_]+", " ", text.lower()).split())


def check_ids(passages: Iterable[Passage]) -> None:
    """Refuse two passages with one id.

    Raises:
        CorpusError: Naming up to five of the doubled ids.
    """
    seen: set[str] = set()
    doubled = sorted({p.id for p in passages if p.id in seen or seen.add(p.id)})  # type: ignore[func-returns-value]
    if doubled:
        names = ", ".join(map(repr, doubled[:5])) + (" ..." if len(doubled) > 5 else "")
        raise CorpusError(
            f"{len(doubled)} ids stand at more than one passage: {names}. Every passage needs its own id; "
            "make them unique, or number the rows instead: corpus.id_column= (with nothing after the sign)."
        )


def merge_near_identical(passages: Sequence[Passage], threshold: float) -> tuple[list[Passage], dict[str, str]]:
    """Keep the first of each group of passages whose word 5-grams overlap by at least `threshold` (Jaccard).

    Candidates come from MinHash LSH (Broder 1997; 128 permutations), each is checked exactly. Titles are not compared.

    Returns:
        The kept passages in their order, and merged id -> kept id.
    """
    kept: list[Passage] = []
    merged: dict[str, str] = {}
    exact: dict[str, str] = {}
    shingles: dict[str, set[bytes]] = {}
    lsh = MinHashLSH(threshold=threshold, num_perm=128) if threshold < 1 else None
    for passage in passages:
        text = normalise(passage.text)
        twin = exact.get(text)
        if twin is None and lsh is not None:
            grams = _shingles(text)
            sketch = MinHash(num_perm=128, seed=1)
            sketch.update_batch(sorted(grams))
            # Sorted, since the order of an LSH answer is not defined and the first match decides.
            near = sorted(key for key in lsh.query(sketch) if _jaccard(grams, shingles[key]) >= threshold)
            twin = near[0] if near else None
            if twin is None:
                lsh.insert(passage.id, sketch)
                shingles[passage.id] = grams
        if twin is None:
            exact[text] = passage.id
            kept.append(passage)
        else:
            merged[passage.id] = twin
    return kept, merged


def _shingles(text: str) -> set[bytes]:
    words = text.split()
    last = max(1, len(words) - SHINGLE_WORDS + 1)
    return {" ".join(words[i : i + SHINGLE_WORDS]).encode() for i in range(last)}


def _jaccard(a: set[bytes], b: set[bytes]) -> float:
    return len(a & b) / len(a | b)


def write_corpus(passages: Iterable[Passage], folder: Path) -> None:
    """Write passages as parquet with columns id, title, text; `datasets.load_dataset(folder)` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list([asdict(p) for p in passages]).to_parquet(folder / "train.parquet")


def read_corpus(folder: Path) -> list[Passage]:
    """Read what `write_corpus` wrote."""
    table = datasets.Dataset.from_parquet(str(folder / "train.parquet"), keep_in_memory=True)
    return [Passage(**row) for row in table]


def sample_rows(count: int, total: int, seed: int) -> list[int]:
    """`min(count, total)` different row numbers in random but seeded order."""
    return [int(row) for row in np.random.default_rng(seed).permutation(total)[:count]]
