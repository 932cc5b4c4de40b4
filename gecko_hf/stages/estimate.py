"""How long and how large a run will be, computed from its counts and one short timing of its base on its own text."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gecko_hf.recipe import Recipe
from gecko_hf.stages.run import Run
from gecko_hf.training.mixture_recipe import DataRecipe, negatives_of, steps_shares
from gecko_hf.training.recipe import StageRecipe
from gecko_hf.training.sampler import rows_drawn

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer as Encoder

TIMED = 0.5  # seconds that the base embeds for at least, to see how fast it is
FIRST = 8  # passages that it embeds first; twice as many as long as that takes less
STEP = 3.5  # ours: a token of a step takes so many times as long as one that is embedded; without dropout
DROPOUT = 1.3  # ours: so many times as long with dropout
CACHED = 4 / 3  # gradient caching embeds every text a second time
JUDGED_PER_SECOND = 10_000  # ours: (query, passage) pairs that `unigram` judges on one core
SHORT = 24  # ours: tokens of a prompt and a sentence
TEXTS = {"text", "sentence1", "sentence2", "query", "positive", "negative"}  # columns of held-out tasks
UNKNOWN_ROWS = 1_000  # of a data set that says neither its weight nor its rows; as good as any


def tokens_of(texts: Iterable[str], limit: int) -> int:
    """Tokens that an encoder reads of texts, guessed as 1.5 a word and 8 of a prompt."""
    return sum(min(limit, int(1.5 * len(t.split())) + 8) for t in texts)


def tokens_per_second(run: Run, model: Encoder, length: int) -> float:
    """How many tokens a second a model embeds: of passages of the run, in its precision, after one that is not counted."""
    store = run.store(model)
    store.compute(run.passages.texts[:1])
    count = FIRST
    while True:
        texts = run.passages.texts[:count]
        start = time.perf_counter()
        store.compute(texts)
        seconds = time.perf_counter() - start
        if seconds >= TIMED or count >= len(run.passages):
            return tokens_of(texts, length) / seconds
        count *= 2


def step_tokens(stage: StageRecipe, recipe: Recipe, own_columns: int, own_rows: int) -> float:
    """Tokens that all steps of a stage read.

    Args:
        stage: Its block.
        recipe: The whole recipe.
        own_columns: Passages of a row of the run's own text, for a stage without a mixture.
        own_rows: How many such rows there are.
    """
    length = read_length(stage, recipe)
    if not stage.mixture:
        return rows_trained(stage, own_rows) * (min(SHORT, length) + own_columns * length)
    entries, shares = list(stage.mixture.values()), _shares(stage)
    rows = rows_trained(stage, sum(entry.rows or UNKNOWN_ROWS for entry in entries))
    return rows * sum(share * row_tokens(entry, length) for entry, share in zip(entries, shares, strict=True))


def kept_tokens(stage: StageRecipe, recipe: Recipe) -> float:
    """Tokens that the untouched base embeds for the sets of a mixture that are kept."""
    found = 0.0
    for entry, share in zip(stage.mixture.values(), _shares(stage), strict=True):
        if entry.keep:
            drawn = rows_drawn(share, stage.steps, stage.batch_size) if stage.steps and entry.weight else None
            rows = min((n for n in (entry.rows, drawn) if n), default=UNKNOWN_ROWS)
            found += rows * row_tokens(entry, read_length(stage, recipe))
    return found


def _shares(stage: StageRecipe) -> list[float]:
    return steps_shares(stage.mixture, [entry.rows or UNKNOWN_ROWS for entry in stage.mixture.values()])


def row_tokens(entry: DataRecipe, length: int) -> int:
    """Tokens of a training row: a query, and passages as long as they are read where the kind has passages."""
    others = 1 + negatives_of(entry)
    return min(SHORT, length) + others * (min(SHORT, length) if entry.kind in ("nli", "labels", "reread") else length)


def read_length(stage: StageRecipe, recipe: Recipe) -> int:
    """Tokens that a stage reads of a text."""
    return min(stage.max_seq_length or recipe.encoder.max_seq_length, recipe.encoder.max_seq_length)


def step_cost(stage: StageRecipe, model: Encoder) -> float:
    """How many times longer a token takes in a step than in an embedding.

    Of three parts of a step one is forward, and two are backward, for the weights above the frozen layers.
    """
    from gecko_hf.model.freeze import frozen_layers

    with frozen_layers(model, stage.freeze_layers):
        trained = _weights(model, trained=True) / _weights(model)
    cost = STEP * (1 + 2 * trained) / 3
    return cost * (DROPOUT if stage.dropout else 1) * (CACHED if stage.mini_batch_size else 1)


def _weights(model: Encoder, *, trained: bool = False) -> int:
    """Parameters that every token is multiplied with: all but the embeddings."""
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if "embeddings" not in name and (p.requires_grad or not trained))


def rows_trained(stage: StageRecipe, own: int) -> int:
    """Rows of all steps: by the number of steps where the recipe gives one, of all that there are otherwise."""
    return stage.steps * stage.batch_size if stage.steps else own * stage.epochs


def estimate(run: Run, base: Encoder, retriever: Encoder | None = None) -> dict[str, float]:
    """Seconds that each stage may take from this base; those of an LLM that is asked are not among them.

    Args:
        run: The run, with its corpus.
        base: What is trained.
        retriever: What fetches FRet's candidates, where it is not the base.
    """
    recipe = run.recipe
    length = recipe.encoder.max_seq_length
    speed = tokens_per_second(run, base, length)
    once = mined = tokens_of(run.passages.texts, length) / speed
    if retriever and recipe.retriever:
        read = recipe.retriever.max_seq_length
        mined = tokens_of(run.passages.texts, read) / tokens_per_second(run, retriever, read)
    rows = min(recipe.fret.rows, len(run.passages))
    columns = 1 if recipe.fret.negative == "none" else 2
    tasks = tokens_of(task_texts(run.paths.tasks), length) / speed

    def trained(stage: StageRecipe, own_columns: int, own_rows: int) -> float:
        tokens = step_tokens(stage, recipe, own_columns, own_rows) * step_cost(stage, base)
        return (tokens + kept_tokens(stage, recipe)) / speed

    return {
        "prefinetune": trained(recipe.prefinetune, 1, min(recipe.prefinetune.rows, len(run.passages))),
        "fret": mined + rows * recipe.fret.candidates / JUDGED_PER_SECOND,
        "finetune": trained(recipe.finetune, columns, min(recipe.finetune.rows, rows)),
        "evaluate": once * (1 + recipe.evaluation.prefinetuned) + 15 + 2 * tasks,
    }


def task_texts(folder: Path) -> Iterator[str]:
    """The texts of the held-out tasks: of a line a pair of sentences, a document, or a query with its candidates."""
    for file in sorted(folder.rglob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                for role in TEXTS & row.keys():
                    yield from row[role] if isinstance(row[role], list) else [row[role]]


def space_needed(run: Run, todo: Collection[str], base: Encoder, retriever: Encoder | None = None) -> int:
    """Bytes that the stages which are not done may write.

    A training stage writes a model, and checkpoints with their optimizers, which go before the next stage. FRet writes vectors,
    and the texts three times: the corpus, and a positive and a negative of each row. The scores are of vectors of each model;
    the base's are FRet's too, where no other model retrieves.

    Args:
        run: The run, with its corpus.
        todo: Names of those stages.
        base: What is trained.
        retriever: What fetches FRet's candidates, where it is not the base.
    """
    weights = 4 * sum(p.numel() for p in base.parameters())
    training = [getattr(run.recipe, name) for name in ("prefinetune", "finetune") if name in todo]
    copies = len(training) + 3 * max(map(_checkpoints, training), default=0)
    embedding = [base] * (2 + run.recipe.evaluation.prefinetuned) if "evaluate" in todo else []
    if "fret" in todo and (retriever or not embedding):
        embedding.append(retriever or base)
    columns = sum(model.get_embedding_dimension() or 0 for model in embedding)
    texts = 3 * sum(len(p.text.encode()) for p in run.passages) if "fret" in todo else 0
    return copies * weights + 4 * columns * len(run.passages) + texts


def _checkpoints(stage: StageRecipe) -> int:
    """How many lie there at once: those that are kept, the best beside the last, and a new one before an old one goes."""
    return max(stage.average_last, 2 if stage.evaluate_every else 1) + 1
