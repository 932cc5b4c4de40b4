"""One training stage: eq. (3) at every Matryoshka width, on sentence-transformers' trainer, resumed where it was killed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import PartialState
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

from gecko_hf.errors import RecipeError
from gecko_hf.model.dropout import without_dropout
from gecko_hf.model.freeze import frozen_layers
from gecko_hf.model.merge import average_with
from gecko_hf.training.arguments import arguments
from gecko_hf.training.data import TrainingSet, columns, text_columns
from gecko_hf.training.loss import GeckoLoss
from gecko_hf.training.mixture_recipe import DataRecipe, steps_shares
from gecko_hf.training.negatives import count_negatives
from gecko_hf.training.processes import is_main, processes
from gecko_hf.training.recipe import StageRecipe
from gecko_hf.training.sampler import set_epoch

Report = Callable[[int, int | None], None]
MOST_COLUMNS = columns(16)


def train_stage(
    model: SentenceTransformer,
    rows: datasets.Dataset | Sequence[TrainingSet],
    recipe: StageRecipe,
    *,
    dims: list[int],
    precision: str,
    seed: int,
    folder: Path,
    evaluator: BaseEvaluator | None = None,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Train a model in place.

    Args:
        model: The encoder, float32.
        rows: Columns anchor, positive and perhaps negative, as `mixture` makes them; or the data sets of a mixture.
        recipe: Batch size, learning rate and so on.
        dims: Matryoshka widths, trained with equal weights (ours: the paper does not state its weights).
        precision: `float32` or `bfloat16` (autocast; the weights stay float32).
        seed: Seeds batches and dropout.
        folder: Checkpoints of this stage; an interrupted stage goes on from the last one, a finished one removes it.
        evaluator: Scores the model every `evaluate_every` steps; its `primary_metric` chooses the best checkpoint.
        report: Called with (steps done, steps).
        say: Called with a line for each data set that says how many negatives a query sees.

    Returns:
        The loss curve: `step`, `loss`, `learning_rate` a row.

    Raises:
        RecipeError: If the rows do not fill one batch of different texts, lack scores, or a query would see no negatives.
        ValueError: If the columns are not training columns.
    """
    length = model.max_seq_length
    if recipe.max_seq_length:
        model.max_seq_length = min(recipe.max_seq_length, length or recipe.max_seq_length)
    single = isinstance(rows, datasets.Dataset)
    sets = [TrainingSet("", rows, {}, DataRecipe(kind="fret"))] if single else list(rows)
    if recipe.gradient_checkpointing and model.transformers_model is not None:
        # Asked of the model: sentence-transformers 6.2 has not the method that the trainer's argument calls.
        model.transformers_model.activation_checkpointing_enable()
    losses: dict[str, torch.nn.Module] = {}
    for one in sets:
        _check_rows(one, recipe)
        losses[one.name] = _loss(model, one, recipe, dims, say)
    if say and torch.cuda.device_count() > 1 and processes() == 1:
        say(f"  One of {torch.cuda.device_count()} GPUs trains; accelerate launch takes them all (docs/training.md).")
    shares = steps_shares({s.name: s.recipe for s in sets}, [len(s.rows) for s in sets])
    trainer = _Trainer(
        model=model,
        args=arguments(
            recipe,
            precision,
            seed,
            folder,
            shares=None if single else dict(zip(losses, shares, strict=True)),
            rows=max(len(s.rows) for s in sets),
            metric=evaluator.primary_metric or "" if evaluator else "",
        ),
        train_dataset=rows if single else datasets.DatasetDict({s.name: s.rows for s in sets}),
        loss=losses[""] if single else losses,
        evaluator=evaluator,
        callbacks=_callbacks(recipe, report),
    )
    trainer.remove_callback(PrinterCallback)  # it prints every logged step
    with frozen_layers(model, recipe.freeze_layers), nullcontext() if recipe.dropout else without_dropout(model):
        _go_on(trainer, recipe, folder)
    _choose_weights(trainer, model, recipe, folder)
    model.max_seq_length = length
    model.eval()
    return _curve(trainer.state)


def _check_rows(one: TrainingSet, recipe: StageRecipe) -> None:
    named = f" of {one.name}" if one.name else ""
    texts = text_columns(one.rows)
    if texts != MOST_COLUMNS[: max(2, len(texts))]:
        raise ValueError(
            f"The columns{named} are {one.rows.column_names}; only anchor, positive and negative can be trained on."
        )
    if recipe.loss.distillation and "scores" not in one.rows.column_names:
        raise RecipeError(
            f"loss.distillation needs a teacher's scores, and the rows{named} have none: set scores: true."
        )
    if len(one.rows) < recipe.batch_size * processes():
        size = f"{processes()} batches" if processes() > 1 else "one batch"
        raise RecipeError(
            f"{len(one.rows)} training rows{named} do not fill {size} of {recipe.batch_size}. "
            "Lower the batch_size of the stage, or give more text."
        )


def _loss(
    model: SentenceTransformer,
    one: TrainingSet,
    recipe: StageRecipe,
    dims: list[int],
    say: Callable[[str], None] | None,
) -> MatryoshkaLoss:
    loss = GeckoLoss(
        model,
        recipe.temperature,
        same_tower=recipe.same_tower,
        in_batch=one.recipe.negatives == "in_batch",
        gather_across_devices=recipe.gather_across_devices and processes() > 1,
        mini_batch_size=recipe.mini_batch_size,
        chunk_size=recipe.chunk_size,
        learn=one.recipe.learn,
        by_label=one.recipe.positives == "label",
        keep=one.recipe.keep,
        options=recipe.loss,
    )
    if not one.recipe.learn:
        taught = "only what the base could is kept"
    elif loss.by_label:
        taught = "all texts of a label attract each other, and are negatives for those of other labels"
    else:
        taught = str(count_negatives(loss, recipe.batch_size, len(text_columns(one.rows)) - 2, processes()))
    if say:
        say(f"  {one.name + ': ' if one.name else ''}{taught}")
    return MatryoshkaLoss(model, loss, matryoshka_dims=sorted(dims, reverse=True))


def _callbacks(recipe: StageRecipe, report: Report | None) -> list[TrainerCallback]:
    callbacks: list[TrainerCallback] = [_Epoch(), _Finite()]
    if report:
        callbacks.append(_Progress(report))
    if recipe.patience is not None:
        callbacks.append(_Patience(recipe.patience))
    return callbacks


def _go_on(trainer: SentenceTransformerTrainer, recipe: StageRecipe, folder: Path) -> None:
    """Train from the last checkpoint, if there is one, to the end of the stage."""
    last = _last_whole_checkpoint(folder)
    state = TrainerState.load_from_json(str(Path(last) / TRAINER_STATE_NAME)) if last else None
    if last and state and _is_over(state, recipe, trainer.args):  # a kill came after its last step
        trainer.state = state
        trainer._load_from_checkpoint(last)  # the trainer would do one more step
    else:
        trainer.train(resume_from_checkpoint=last)


def _is_over(state: TrainerState, recipe: StageRecipe, args: TrainingArguments) -> bool:
    return state.global_step >= state.max_steps or (
        recipe.patience is not None and _evaluations_since_best(state, args) >= recipe.patience
    )


def _last_whole_checkpoint(folder: Path) -> str | None:
    """The checkpoint to go on from; those that a kill left half written are deleted."""
    with PartialState().main_process_first():
        if is_main():
            for checkpoint in folder.glob("checkpoint-*"):
                if not _is_whole(checkpoint):
                    shutil.rmtree(checkpoint)
        return get_last_checkpoint(str(folder)) if folder.is_dir() else None  # type: ignore[no-untyped-call]


def _is_whole(checkpoint: Path) -> bool:
    try:  # the trainer writes its state last, after weights and optimizer
        json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return True


def _choose_weights(
    trainer: SentenceTransformerTrainer, model: SentenceTransformer, recipe: StageRecipe, folder: Path
) -> None:
    """Leave in the model what the stage ends with: the last weights, the best ones, or a mean."""
    state = trainer.state
    if not state.global_step:
        raise RecipeError(
            f"The training rows give no batch of {recipe.batch_size} different texts, so nothing was trained. "
            "Lower the batch_size of the stage, or give rows with more different texts."
        )
    if state.best_global_step:
        # The library logs a failure to load the best checkpoint and goes on with the last weights; this one raises.
        trainer._load_from_checkpoint(str(folder / f"checkpoint-{state.best_global_step}"))
    if recipe.average_last > 1:
        earlier = _checkpoints_before(state.global_step, folder)[-(recipe.average_last - 1) :]
        average_with(model, (SentenceTransformer(str(c)) for c in earlier))  # one after the other: they may be large


def _curve(state: TrainerState) -> list[dict[str, Any]]:
    return [
        {"step": entry["step"], "loss": entry["loss"], "learning_rate": entry["learning_rate"]}
        for entry in state.log_history
        if "loss" in entry
    ]


def _checkpoints_before(step: int, folder: Path) -> list[Path]:
    steps = {int(c.name.rpartition("-")[2]): c for c in folder.glob("checkpoint-*")}
    return [steps[n] for n in sorted(steps) if n < step]


class _Trainer(SentenceTransformerTrainer):
    """The library's, whose checkpoint is whole, for every process, once its state is written."""

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        PartialState().wait_for_everyone()  # the first process writes the state next


class _Progress(TrainerCallback):
    """Passes the trainer's steps on to a progress report."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.report(state.global_step, state.max_steps)


class _Finite(TrainerCallback):
    """Ends a stage whose loss is no number: its weights are none either."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise RecipeError(
                f"The loss is {loss} in step {state.global_step}, so the weights can no longer be used. Lower the learning_rate "
                "of the stage, raise its temperature or warmup_ratio, or set precision: float32."
            )


class _Epoch(TrainerCallback):
    """Tells the sampler the epoch: with several processes the trainer's own call does not reach it after a restart."""

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        set_epoch(kwargs["train_dataloader"], int(state.epoch or 0))


class _Patience(EarlyStoppingCallback):
    """Ends a stage that gets no better; the library's own begins to count anew after a restart."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_train_begin(args, state, control, **kwargs)  # type: ignore[no-untyped-call]
        self.early_stopping_patience_counter = _evaluations_since_best(state, args)


def _evaluations_since_best(state: TrainerState, args: TrainingArguments) -> int:
    """How many evaluations in a row have not been better than the best one."""
    metric = f"eval_{args.metric_for_best_model}"
    return sum(metric in entry and entry["step"] > (state.best_global_step or 0) for entry in state.log_history)


def write_curve(curve: list[dict[str, Any]], file: Path) -> None:
    """Write a loss curve as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(curve, indent=0), encoding="utf-8")


def remove_checkpoints(folder: Path) -> None:
    """Delete a finished stage's checkpoints."""
    if folder.is_dir():
        shutil.rmtree(folder)
