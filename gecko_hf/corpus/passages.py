"""Passages: what a corpus is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecko_hf.prompts import title_and_text


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


def normalise(text: str) -> str:
    """Lower case, letters and digits only, single spaces: what 'the same text' means in this project."""
    return " ".join(re.sub(r"[\W_]+", " ", text.lower()).split())


def sample_rows(count: int, total: int, seed: int) -> npt.NDArray[np.int64]:
    """`min(count, total)` different row numbers in random but seeded order."""
    return np.random.default_rng(seed).permutation(total)[:count]
