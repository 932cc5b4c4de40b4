"""One training stage: eq. (3) at every Matryoshka width, on sentence-transformers' trainer, resumed where it was killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from gecko_hf.errors import RecipeError
from gecko_hf.training.loss import GeckoLoss
from gecko_hf.training.negatives import count_negatives
from gecko_hf.training.recipe import StageRecipe

Report = Callable[[int, int | None], None]
TRAINING_COLUMNS = ({"anchor", "positive"}, {"anchor", "positive", "negative"})
SAVE_EVERY = 40  # steps: a kill costs at most this many


def precision_of(choice: str) -> str:
    """`auto` takes bfloat16 where the processor computes in it, float32 elsewhere; other choices stand."""
    if choice != "auto":
        return choice
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def train_stage(
    model: SentenceTransformer,
    rows: datasets.Dataset,
    recipe: StageRecipe,
    *,
    dims: list[int],
    precision: str,
    seed: int,
    folder: Path,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Train a model in place.

    Args:
        model: The encoder, float32.
        rows: Columns anchor, positive and perhaps negative, as `mixture` makes them.
        recipe: Batch size, learning rate and so on.
        dims: Matryoshka widths, trained with equal weights (ours: the paper does not state its weights).
        precision: `float32` or `bfloat16` (autocast; the weights stay float32).
        seed: Seeds batches and dropout.
        folder: Checkpoints of this stage; an interrupted stage goes on from the last one, a finished one removes it.
        report: Called with (steps done, steps).
        say: Called with one line that says how many negatives a query sees.

    Returns:
        The loss curve: `step`, `loss`, `learning_rate` a row.

    Raises:
        RecipeError: If the rows do not fill one batch, or a query would see no negatives.
        ValueError: If the columns are not training columns.
    """
    if set(rows.column_names) not in TRAINING_COLUMNS:
        raise ValueError(f"The columns are {rows.column_names}; only anchor, positive and negative can be trained on.")
    if len(rows) < recipe.batch_size:
        raise RecipeError(
            f"{len(rows)} training rows do not fill one batch of {recipe.batch_size}. "
            "Lower the batch_size of the stage, or give more text."
        )
    arguments = _arguments(recipe, precision, seed, folder)
    loss = GeckoLoss(
        model,
        recipe.temperature,
        same_tower=recipe.same_tower,
        gather_across_devices=recipe.gather_across_devices and arguments.world_size > 1,
        mini_batch_size=recipe.mini_batch_size,
        options=recipe.loss,
    )
    negatives = count_negatives(loss, recipe.batch_size, len(rows.column_names) - 2, arguments.world_size)
    if say:
        say(f"  {negatives}")
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        loss=MatryoshkaLoss(model, loss, matryoshka_dims=sorted(dims, reverse=True)),
        callbacks=[_Progress(report)] if report else None,
    )
    trainer.remove_callback(PrinterCallback)  # it prints every logged step
    last: str | None = get_last_checkpoint(str(folder)) if folder.is_dir() else None  # type: ignore[no-untyped-call]
    trainer.train(resume_from_checkpoint=last)
    curve = [
        {"step": entry["step"], "loss": entry["loss"], "learning_rate": entry["learning_rate"]}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    model.eval()
    return curve


def _arguments(recipe: StageRecipe, precision: str, seed: int, folder: Path) -> SentenceTransformerTrainingArguments:
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_ratio,  # a number below 1 is a share of all steps
        weight_decay=0.01,  # ours
        lr_scheduler_type="linear",
        bf16=precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        data_seed=seed,
        dataloader_drop_last=True,  # a short last batch would have fewer negatives
        batch_sampler=BatchSamplers.NO_DUPLICATES,  # a positive that two queries share would be a false negative
        logging_steps=1,
        save_strategy="steps",
        save_steps=SAVE_EVERY,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
    )


class _Progress(TrainerCallback):
    """Passes the trainer's steps on to a progress report."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.report(state.global_step, state.max_steps)


def write_curve(curve: list[dict[str, Any]], file: Path) -> None:
    """Write a loss curve as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(curve, indent=0), encoding="utf-8")


def remove_checkpoints(folder: Path) -> None:
    """Delete a finished stage's checkpoints."""
    if folder.is_dir():
        shutil.rmtree(folder)
