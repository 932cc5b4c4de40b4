"""The `prefinetune` and `finetune` blocks of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.errors import RecipeError
from gecko_hf.schema import number
from gecko_hf.training.mixture_recipe import DataRecipe, check_mixture
from gecko_hf.training.options import LossOptions


@dataclass(frozen=True)
class StageRecipe:
    """One training stage.

    Attributes:
        rows: How many rows of the run's own text are drawn; of no effect with a mixture.
        title_in_text: Share of the titled documents that are written as one string, as mteb hands them over.
        mixture: Name -> data set. Without one the stage trains on the run's own text.
        epochs: Readings of the rows.
        steps: Steps in all, in the place of epochs.
        batch_size: Rows of one process in one step.
        learning_rate: Its highest value, after the warm-up; it falls to 0 in a straight line.
        temperature: t in eq. (3).
        warmup_ratio: Share of the steps in which the learning rate rises, below 1.
        same_tower: Whether other queries are negatives.
        gather_across_devices: Whether texts of other processes are negatives too.
        max_seq_length: Tokens of a text that this stage reads, prompt included; as many as the encoder by default.
        mini_batch_size: Texts that are embedded at once with gradient caching: memory does not grow with the batch.
        chunk_size: Texts that are embedded in one forward, short ones with short ones, so that there is less padding; with
            mini_batch_size that is so anyway, and only one of them can be set.
        freeze_layers: How many of the lowest layers, with the embeddings, stay as they are; a step takes less time.
        dropout: Whether the checkpoint's dropout is applied; without it a step on a CPU takes about a quarter less time.
        loss: What later work does differently.
        gradient_checkpointing: Less memory for a second forward.
        compile: Run the model through torch.compile.
        checkpoint_every: Steps between two checkpoints; a kill costs at most as many.
        evaluate_every: Steps between two evaluations on the dev queries; the best checkpoint is kept.
        patience: Evaluations without a better score after which the stage ends.
        average_last: How many of the last checkpoints, the last weights among them, are averaged; 1 averages nothing.
        tracking: Where losses are sent.
    """

    rows: int = number(6000, low=0)
    title_in_text: float = number(0.0, low=0.0, high=1.0)
    mixture: dict[str, DataRecipe] = field(default_factory=dict)
    epochs: int = number(1, low=1)
    steps: int | None = None
    batch_size: int = number(64, low=2)
    learning_rate: float = number(5e-5, low=0.0, high=1.0)
    temperature: float = number(0.05, low=1e-4, high=10.0)
    warmup_ratio: float = number(0.1, low=0.0, high=1.0)
    same_tower: bool = True
    gather_across_devices: bool = True
    max_seq_length: int | None = number(None, low=8)
    mini_batch_size: int | None = None
    chunk_size: int | None = None
    freeze_layers: int = number(0, low=0)
    dropout: bool = True
    loss: LossOptions = field(default_factory=LossOptions)
    gradient_checkpointing: bool = False
    compile: bool = False
    checkpoint_every: int = number(40, low=1)
    evaluate_every: int | None = None
    patience: int | None = None
    average_last: int = number(1, low=1)
    tracking: Literal["none", "tensorboard", "trackio"] = "none"


@dataclass(frozen=True)
class PrefinetuneRecipe(StageRecipe):
    """Pre-finetuning on (lead, body) pairs."""

    max_lead_words: int = number(64, low=4)  # passages that open with a longer sentence give no pair


@dataclass(frozen=True)
class FineTuneRecipe(StageRecipe):
    """Fine-tuning on FRet, or on a mixture with FRet in it."""

    rows: int = number(1_000_000, low=1)
    # Share of extractive queries whose sentence leaves the positive; a positive of several rows stays whole.
    cut_source: float = number(0.5, low=0.0, high=1.0)
    # The finished model's weights are averaged with those it came from: first this share of the pre-finetuned ones,
    # then that of the base's (WiSE-FT; see model/merge.py).
    merge_prefinetuned: float = number(0.0, low=0.0, high=1.0)
    merge_base: float = number(0.0, low=0.0, high=1.0)
    # ours: turn the finished vectors so that their first columns say the most; whole vectors keep every cosine. The model
    # then ends in a linear layer, which a reader that pools by itself does not apply.
    rotate: bool = False


def check_stage(recipe: StageRecipe, where: str, *, lora: bool) -> None:
    """Refuse settings that contradict each other, before anything is read.

    Raises:
        RecipeError: Naming both.
    """
    check_mixture(recipe.mixture, f"{where}.mixture")
    own = next((name for name, entry in recipe.mixture.items() if entry.is_own_fret), None)
    if own and isinstance(recipe, PrefinetuneRecipe):
        raise RecipeError(
            f"{where}.mixture.{own} is the FRet of this run, which is built after this stage. Put it into the mixture of "
            "finetune, or name the source of a finished one."
        )
    _check_distillation(recipe, where)
    if recipe.warmup_ratio >= 1:
        raise RecipeError(
            f"{where}.warmup_ratio is {recipe.warmup_ratio:g}: the learning rate would rise in every step. It is a share of "
            "the steps; give less than 1, for example 0.1."
        )
    if recipe.mini_batch_size is not None and recipe.chunk_size is not None:
        raise RecipeError(
            f"{where}: with mini_batch_size, {recipe.mini_batch_size} texts are embedded at once, sorted by length, and "
            f"chunk_size {recipe.chunk_size} would not be read. Set one of them to null."
        )
    if recipe.patience is not None and not recipe.evaluate_every:
        raise RecipeError(f"{where}.patience counts evaluations, and there are none: set {where}.evaluate_every.")
    if recipe.average_last > 1 and recipe.evaluate_every:
        raise RecipeError(f"{where}: average_last averages checkpoints and evaluate_every keeps the best. Choose one.")
    if recipe.freeze_layers and lora:
        raise RecipeError(f"{where}.freeze_layers: encoder.lora freezes every layer already. Choose one.")
    if recipe.average_last > 1 and lora:
        raise RecipeError(f"{where}.average_last averages whole models, and encoder.lora saves adapters. Choose one.")
    for name in ("steps", "mini_batch_size", "chunk_size", "evaluate_every", "patience"):
        value = getattr(recipe, name)
        if value is not None and value < 1:
            raise RecipeError(f"{where}.{name} is {value}; it must be at least 1, or null.")


def _check_distillation(recipe: StageRecipe, where: str) -> None:
    """Refuse a teacher's scores that nothing reads, and a loss that reads scores which are not there."""
    told = {name: entry.scores for name, entry in recipe.mixture.items()}
    if not recipe.loss.distillation:
        if idle := [name for name, scores in told.items() if scores]:
            raise RecipeError(
                f"{where}.mixture.{idle[0]}.scores: nothing reads a teacher's scores, for {where}.loss.distillation is 0. "
                "Raise it, or leave scores out."
            )
    elif not told:
        raise RecipeError(
            f"{where}.loss.distillation: only data sets of a mixture have a teacher's scores. Name them in {where}.mixture, with "
            "scores: true, or leave it out."
        )
    elif bare := [name for name, scores in told.items() if not scores]:
        raise RecipeError(
            f"{where}.loss.distillation needs a teacher's scores of every data set, and {where}.mixture.{bare[0]} has none. Set "
            "scores: true there, or leave the data set out."
        )
