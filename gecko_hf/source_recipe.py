"""What a recipe says of rows that are read: the part that the blocks of mixtures and of held-out tasks share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.schema import number


@dataclass(frozen=True, kw_only=True)
class SourceRecipe:
    """Where rows come from.

    Attributes:
        source: Local file or folder, or Hub id.
        revision: Commit, tag or branch of the Hub id. A branch is resolved to its commit when the rows are read.
        config: Configuration of the Hub data set.
        split: Its split.
        where: Column -> value that a row must have.
        half: One half of the labels, dealt by their hash: a labelled set can teach with one and be held out with the other.
        columns: Role -> column, where the data set's names are not the kind's own.
        rows: How many rows are drawn, at most.
    """

    source: str | None = None
    revision: str | None = None
    config: str | None = None
    split: str = "train"
    where: dict[str, str] = field(default_factory=dict)
    half: Literal["first", "second"] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    rows: int | None = number(None, low=1)
