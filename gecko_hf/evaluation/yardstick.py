"""The yardstick of a run: queries with their relevant passages, kept apart from everything that is trained on.

Two kinds. `see_also`: what people wrote in the See Also sections of documentation about *other* functions; the sections
are not part of the corpus. `held_out`: synthetic queries of seed passages that FRet leaves out of training; they are
written by the same LLM as the training queries and therefore flatter the model.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import datasets

from gecko_hf.corpus.docstrings import Documentation
from gecko_hf.corpus.passages import Passage, normalise

MAX_RELEVANT = 3  # a description that points at more functions than this says too little about each
Split = Literal["dev", "test"]


@dataclass(frozen=True, slots=True)
class YardstickQuery:
    """A query, the ids of the passages that answer it, and the split it belongs to."""

    id: str
    text: str
    relevant: list[str]
    split: Split


def see_also_queries(
    documentation: Documentation, passages: Iterable[Passage], merged: Mapping[str, str], dev_share: float
) -> list[YardstickQuery]:
    """Turn See Also descriptions into queries.

    Left out are descriptions that stand word for word (up to case, punctuation and white space) in any passage or title,
    and those that point at more than three passages. The split is a hash of the query, so it never depends on the rest.

    Args:
        documentation: What `read_docstrings` returned.
        passages: The corpus after merging.
        merged: Merged passage id -> kept id.
        dev_share: Share of the queries that choices may be made on.
    """
    resolve = _Resolver(documentation.names)
    relevant: dict[str, set[str]] = defaultdict(set)
    wording: dict[str, str] = {}
    for reference in documentation.references:
        key = normalise(reference.description)
        for name in reference.names:
            target = resolve(name, reference.source)
            if key and target:
                relevant[key].add(merged.get(target, target))
                wording.setdefault(key, reference.description)
    verbatim = _VerbatimIndex(passages)
    return [
        YardstickQuery(f"q{i:05d}", wording[key], sorted(relevant[key]), split_of(key, dev_share))
        for i, key in enumerate(sorted(k for k in relevant if len(relevant[k]) <= MAX_RELEVANT and k not in verbatim))
    ]


def split_of(text: str, dev_share: float) -> Split:
    """The split of a query, by a hash of its normalised text."""
    return "dev" if _position(text) < dev_share else "test"


def held_out_ids(ids: Iterable[str], share: float, most: int, seed: int) -> list[str]:
    """The passages, sorted, whose queries are kept for the yardstick: a share by a hash of their ids, or the first `most` of it.

    Args:
        ids: Of the corpus.
        share: Of the corpus.
        most: Passages, at most; only so many are in memory.
        seed: Of the run.
    """
    placed = ((_position(f"{seed}:{name}"), name) for name in ids)
    return sorted(name for _, name in heapq.nsmallest(most, (pair for pair in placed if pair[0] < share)))


def _position(text: str) -> float:
    """A place in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


class _Resolver:
    """Finds the passage that a See Also name means: nearest scope first, then a suffix that only one name has."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self.suffixes: dict[str, set[str]] = defaultdict(set)
        for name, passage in names.items():
            parts = name.split(".")
            for i in range(1, len(parts)):
                self.suffixes[".".join(parts[i:])].add(passage)

    def __call__(self, name: str, source: str) -> str | None:
        scope = source.split(".")
        for i in range(len(scope) - 1, -1, -1):
            found = self.names.get(".".join([*scope[:i], name]))
            if found:
                return found
        everywhere = self.suffixes.get(name, set())
        same_package = {p for p in everywhere if p.split(".")[0] == scope[0]}
        candidates = same_package or everywhere
        return next(iter(candidates)) if len(candidates) == 1 else None


class _VerbatimIndex:
    """Answers `text in index`: do these words stand in this order in any passage?"""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self.texts = [f" {normalise(p.title + ' ' + p.text)} " for p in passages]
        self.holders: dict[str, set[int]] = defaultdict(set)
        for i, text in enumerate(self.texts):
            for word in set(text.split()):
                self.holders[word].add(i)

    def __contains__(self, text: str) -> bool:
        rarest = min((self.holders.get(word, set()) for word in text.split()), key=len)
        return any(f" {text} " in self.texts[i] for i in rarest)


def write_queries(queries: list[YardstickQuery], file: Path) -> None:
    """Write queries as parquet with columns id, text, relevant, split."""
    file.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list([asdict(q) for q in queries]).to_parquet(file)


def read_queries(file: Path) -> list[YardstickQuery]:
    """Read what `write_queries` wrote."""
    return [YardstickQuery(**row) for row in datasets.Dataset.from_parquet(str(file), keep_in_memory=True)]
