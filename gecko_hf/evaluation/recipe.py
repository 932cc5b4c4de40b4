"""The `evaluation` block of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.evaluation.task_recipe import TaskRecipe
from gecko_hf.schema import number


@dataclass(frozen=True)
class EvaluationRecipe:
    """The yardstick, and tasks of other kinds on data sets that are kept out of training."""

    yardstick: Literal["see_also", "held_out"] = "held_out"
    held_out: float = number(0.05, low=0.01, high=0.5)
    held_out_most: int = number(2000, low=10)  # passages of that share, at most: the LLM writes a query for each
    dev_share: float = number(0.2, low=0.0, high=0.5)
    bm25: bool = True
    prefinetuned: bool = True  # measure the pre-finetuned encoder too
    tasks: dict[str, TaskRecipe] = field(default_factory=dict)
