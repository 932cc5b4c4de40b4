"""The `corpus` block of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.schema import number


@dataclass(frozen=True)
class CorpusRecipe:
    """Where the text comes from and how it is cut into passages."""

    source: Literal["files", "docstrings"] = "files"
    path: str | None = None  # file, folder, or Hub data set id (source: files)
    revision: str | None = None  # of the Hub data set
    config: str | None = None  # of the Hub data set
    split: str = "train"  # of the Hub data set
    # Read only so many: rows from the start of a Hub data set, without the rest; passages from the start of files
    rows: int | None = number(None, low=1)
    packages: list[str] = field(default_factory=list)  # source: docstrings
    id_column: str = "id"
    title_column: str = "title"
    text_column: str = "text"
    max_words: int = number(120, low=16)
    near_duplicate: float = number(0.9, low=0.5, high=1.0)  # Jaccard similarity of word 5-grams; 1 = exact only
