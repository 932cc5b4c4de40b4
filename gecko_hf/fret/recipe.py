"""The `fret` block of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.prompts import SEARCH_RESULT
from gecko_hf.schema import number


@dataclass(frozen=True)
class FRetRecipe:
    """The two LLM steps: write (task, query), then choose the positive and the hard negative."""

    rows: int = number(3200, low=1)
    tasks: dict[str, float] = field(default_factory=lambda: {SEARCH_RESULT: 1.0})
    candidates: int = number(20, low=2)
    positive: Literal["fused", "seed"] = "fused"
    negative: Literal["last", "none"] = "last"
