"""Passages: what a corpus is made of."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecko_hf.prompts import title_and_text

# Chinese and Japanese are written without spaces: there, each character counts as a word.
UNSPACED = r"\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
# Vowel signs and accents, which Python does not count among a word's characters, are parts of words, where they stand in one.
_MARKS = "".join(mark for mark in map(chr, range(0x300, 0x10000)) if unicodedata.category(mark).startswith("M"))
_BETWEEN_WORDS = re.compile(rf"(?:(?:[^\w{_MARKS}]|_)[{_MARKS}]*)+")
_ALONE = re.compile(rf"[{UNSPACED}]")


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
    """Lower case, letters and digits only, single spaces: what 'the same text' means in this project.

    A letter counts as the same however Unicode writes it, and a Chinese or Japanese character as a word.
    """
    plain = text if text.isascii() else _ALONE.sub(r" \g<0> ", unicodedata.normalize("NFKC", text))
    return " ".join(_BETWEEN_WORDS.sub(" ", plain.lower()).split())


def sample_rows(count: int, total: int, seed: int) -> npt.NDArray[np.int64]:
    """`min(count, total)` different row numbers in random but seeded order."""
    return np.random.default_rng(seed).permutation(total)[:count]
