"""A stage's settings as sentence-transformers' trainer takes them."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from sentence_transformers import SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import BatchSamplers

from gecko_hf.errors import require
from gecko_hf.training.processes import processes
from gecko_hf.training.recipe import StageRecipe
from gecko_hf.training.sampler import WeightedBatchSampler

HASH_FROM = 100_000  # rows from which comparing hashes is worth the pass that computes them
PATIENT = 7200  # seconds that other processes wait while the first reads data or evaluates


def join_processes() -> PartialState:
    """Make the process group that a stage's processes wait for each other in; what the trainer asks of it later comes too late.

    On a CPU accelerate must be told so: by itself it makes a group there and then lets nobody wait.
    """
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(seconds=PATIENT))


def arguments(
    recipe: StageRecipe,
    precision: str,
    seed: int,
    folder: Path,
    *,
    shares: dict[str, float] | None,
    rows: int,
    metric: str,
) -> SentenceTransformerTrainingArguments:
    """The trainer's settings.

    Args:
        recipe: The stage's block.
        precision: `float32` or `bfloat16`.
        seed: Seeds batches and dropout.
        folder: Where checkpoints lie.
        shares: Share of the steps of each data set of a mixture.
        rows: Rows of the largest data set.
        metric: What the best checkpoint is chosen by, where there is an evaluation.

    Raises:
        MissingExtraError: If the package that tracks is not installed.
    """
    if recipe.tracking != "none":
        require(recipe.tracking, "track")
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder.parent.parent / "logs" / "tensorboard"))
    settings: dict[str, Any] = {}
    if recipe.evaluate_every:
        settings |= {
            "eval_strategy": "steps",
            "eval_steps": recipe.evaluate_every,
            "load_best_model_at_end": True,
            "metric_for_best_model": metric,
            "greater_is_better": True,
        }
    if shares is not None:
        settings["multi_dataset_batch_sampler"] = partial(
            WeightedBatchSampler, shares=list(shares.values()), names=list(shares), together=processes()
        )
    made = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.steps or -1,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_ratio,  # a number below 1 is a share of all steps
        weight_decay=0.01,  # ours
        lr_scheduler_type="linear",
        bf16=precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        torch_compile=recipe.compile,
        seed=seed,
        data_seed=seed,
        dataloader_drop_last=True,  # a short last batch would have fewer negatives
        # A positive that two queries share would be a false negative.
        batch_sampler=BatchSamplers.NO_DUPLICATES_HASHED if rows >= HASH_FROM else BatchSamplers.NO_DUPLICATES,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is no number would be told as 0
        save_strategy="steps",
        save_steps=recipe.evaluate_every or recipe.checkpoint_every,
        save_total_limit=recipe.average_last,
        report_to=recipe.tracking,
        disable_tqdm=True,
        ddp_timeout=PATIENT,
        **settings,
    )
    # Without this the launcher's `mixed_precision` (ACCELERATE_MIXED_PRECISION) would stand in for a recipe's float32.
    made.mixed_precision = "bf16" if precision == "bfloat16" else "no"
    return on_one_device(made)


def on_one_device(made: SentenceTransformerTrainingArguments) -> SentenceTransformerTrainingArguments:
    """Let a process train on one GPU, as `batch_size` and the count of negatives say.

    The trainer by itself would copy the model to every GPU that it sees and multiply the batch by their number; several
    GPUs are several processes here.
    """
    if made.n_gpu > 1:
        made._n_gpu = 1
    return made
