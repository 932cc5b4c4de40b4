"""LoRA: training few weights beside frozen ones, merged into them before the model is saved.

Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) through peft. A merged model has the base's architecture and loads
without peft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gecko_hf.errors import RecipeError, require
from gecko_hf.schema import number

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class LoraRecipe:
    """The `encoder.lora` block; rank 0 trains all weights."""

    rank: int = number(0, low=0)
    alpha: int = number(32, low=1)
    dropout: float = number(0.0, low=0.0, high=1.0)
    targets: list[str] = field(default_factory=lambda: ["all-linear"])  # names of modules, or all-linear


def add_lora(model: SentenceTransformer, recipe: LoraRecipe) -> None:
    """Freeze the transformer and put trainable adapters beside its linear maps.

    Raises:
        MissingExtraError: If peft is not installed.
        RecipeError: If no module has one of the names.
    """
    peft = require("peft", "lora")
    targets = recipe.targets[0] if recipe.targets == ["all-linear"] else recipe.targets
    config = peft.LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets,
        task_type="FEATURE_EXTRACTION",
    )
    try:
        model.add_adapter(config)
    except ValueError as error:
        raise RecipeError(
            f"encoder.lora.targets is {recipe.targets}: {error} Name modules, or [all-linear]."
        ) from error


def merge_lora(model: SentenceTransformer) -> None:
    """Add the adapters to the weights they stand beside and take them away; without adapters nothing happens."""
    inner = model.transformers_model
    if inner is None or not getattr(inner, "_hf_peft_config_loaded", False):
        return
    layers = require("peft.tuners.tuners_utils", "lora").BaseTunerLayer
    found = [(name, module) for name, module in inner.named_modules() if isinstance(module, layers)]
    for name, module in found:
        module.merge()
        inner.set_submodule(name, module.get_base_layer())
    inner._hf_peft_config_loaded = False
    del inner.peft_config
    inner.requires_grad_(True)
