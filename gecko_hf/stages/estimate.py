"""How long and how large a run will be, computed from its counts and one short timing of this machine's processor."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gecko_hf.recipe import Recipe
from gecko_hf.stages.run import Run
from gecko_hf.training.recipe import StageRecipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer as Encoder

MATMUL = (4096, 384, 1536)  # tokens of a batch, width, feed-forward width
EFFICIENCY = 0.55  # ours: of the timed matrix product, what an encoder's forward pass reached on a 2-core machine
TRAIN_EFFICIENCY = 0.5  # ours: the same for forward, backward and the optimizer
NO_DROPOUT = 0.75  # ours: share of a step's time that is left without dropout, measured on the same machine
JUDGED_PER_SECOND = 10_000  # ours: (query, passage) pairs that `unigram` judges on one core
QUERY_TOKENS = 24  # ours: prompt and a sentence


@dataclass(frozen=True)
class Speed:
    """Floating point operations a second: of embedding, which is in float32, and of training."""

    encode: float
    train: float


def measure_speed(precision: str) -> Speed:
    """Time one matrix product of an encoder's shape in float32 and in the precision of training (0.2 s together).

    A precision that nothing trains in is not timed: without instructions of its own, one product takes seconds.
    """
    encode = _operations_per_second("float32")
    return Speed(encode, encode if precision == "float32" else _operations_per_second(precision))


def _operations_per_second(precision: str) -> float:
    import torch

    rows, inner, columns = MATMUL
    a, b = (torch.ones(*shape, dtype=getattr(torch, precision)) for shape in ((rows, inner), (inner, columns)))
    torch.mm(a, b)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 0.1:
        torch.mm(a, b)
        count += 1
    return 2 * rows * inner * columns * count / (time.perf_counter() - start)


def encode_seconds(texts: Iterable[str], limit: int, parameters: int, speed: Speed) -> float:
    """Embedding texts: 2 operations a parameter and token, tokens guessed as 1.5 a word."""
    tokens = sum(min(limit, int(1.5 * len(t.split())) + 8) for t in texts)
    return 2 * parameters * tokens / (speed.encode * EFFICIENCY)


def train_seconds(rows: int, passages: int, recipe: Recipe, stage: StageRecipe, model: Encoder, speed: Speed) -> float:
    """Training on rows of one query and `passages` passages.

    A token costs 2 operations a parameter forward, and 4 backward for each parameter above the frozen layers.
    """
    from gecko_hf.model.freeze import frozen_layers

    length = min(stage.max_seq_length or recipe.encoder.max_seq_length, recipe.encoder.max_seq_length)
    tokens = rows * (min(QUERY_TOKENS, length) + passages * length)
    with frozen_layers(model, stage.freeze_layers):
        trained = _weights(model, trained=True)
    seconds = (2 * _weights(model) + 4 * trained) * tokens / (speed.train * TRAIN_EFFICIENCY)
    return seconds if stage.dropout else NO_DROPOUT * seconds


def _weights(model: Encoder, *, trained: bool = False) -> int:
    """Parameters that every token is multiplied with: all but the embeddings."""
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if "embeddings" not in name and (p.requires_grad or not trained))


def rows_trained(stage: StageRecipe, own: int) -> int:
    """Rows of all steps: of the run's own text, or by the number of steps where the recipe gives one."""
    return stage.steps * stage.batch_size if stage.steps else own * stage.epochs


def estimate(run: Run) -> dict[str, float]:
    """Seconds that each stage may take."""
    from gecko_hf.training.arguments import precision_of

    recipe, base = run.recipe, run.base()
    speed = measure_speed(precision_of(recipe.precision))
    once = encode_seconds(run.passages.texts, recipe.encoder.max_seq_length, _weights(base), speed)
    rows = min(recipe.fret.rows, len(run.passages))
    pairs = rows_trained(recipe.prefinetune, min(recipe.prefinetune.rows, len(run.passages)))
    columns = 1 if recipe.fret.negative == "none" else 2
    return {
        "prefinetune": train_seconds(pairs, 1, recipe, recipe.prefinetune, base, speed),
        "fret": once + rows * recipe.fret.candidates / JUDGED_PER_SECOND,
        "finetune": train_seconds(rows_trained(recipe.finetune, rows), columns, recipe, recipe.finetune, base, speed),
        "evaluate": once * (1 + recipe.evaluation.prefinetuned) + 15 + 2 * _task_seconds(run, base, speed),
    }


def _task_seconds(run: Run, model: Encoder, speed: Speed) -> float:
    """Embedding the texts of the held-out tasks with one model; a line of a file holds one or two."""
    files = sorted(run.paths.tasks.rglob("*.jsonl"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return encode_seconds(lines, run.recipe.encoder.max_seq_length, _weights(model), speed)


def space_needed(run: Run) -> int:
    """Bytes that a run may write: three models, one checkpoint with its optimizer, vectors, and the texts three times."""
    weights = 4 * sum(p.numel() for p in run.base().parameters())
    vectors = 4 * max(run.recipe.encoder.dims) * len(run.passages) * 3
    return 6 * weights + vectors + 3 * sum(len(p.text.encode()) for p in run.passages)
