"""Scores: the yardstick as an mteb retrieval task, and models in the form in which mteb measures them.

mteb finds the neighbours' metrics and writes its own result files; this module only hands it data and vectors. Each text is
embedded once at full width, and the Matryoshka widths are cut from that.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import mteb
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.cache import ResultCache
from mteb.models.abs_encoder import AbsEncoder, get_prompt
from mteb.models.model_implementations.bm25 import BM25Search
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import PromptType, RetrievalOutputType

from gecko_hf.corpus.passages import Passage
from gecko_hf.evaluation.yardstick import YardstickQuery
from gecko_hf.model.vectors import Report, Vectors, VectorStore, cut

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

METRICS = ("ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10")
DIGITS = 5  # as mteb rounds in its files, so that a score is the same whether it was read back or just computed


@dataclass(frozen=True)
class Score:
    """Metrics of one model at one width on one split."""

    model: str
    role: str
    dim: int | None
    split: str
    metrics: dict[str, float]


def retrieval_task(
    name: str, description: str, passages: Sequence[Passage], queries: Sequence[YardstickQuery]
) -> AbsTaskRetrieval:
    """The yardstick as an mteb task with the splits that its queries have.

    Args:
        name: The task's name, as it stands in the result files.
        description: What the queries are.
        passages: The corpus.
        queries: The queries with their relevant passages.
    """
    splits = sorted({q.split for q in queries})
    metadata = TaskMetadata(
        name=name,
        description=description,
        type="Retrieval",
        category="t2t",
        dataset={"path": f"local/{name}", "revision": "local"},
        eval_splits=list(splits),
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        is_public=False,
    )
    # mteb names a task by a class attribute, so each yardstick is a class of its own.
    task: AbsTaskRetrieval = type(name, (AbsTaskRetrieval,), {"metadata": metadata})()
    corpus = datasets.Dataset.from_list([asdict(p) for p in passages])
    task.dataset = {"default": {split: _split(corpus, queries, split) for split in splits}}
    task.data_loaded = True
    return task


def _split(corpus: Any, queries: Iterable[YardstickQuery], split: str) -> RetrievalSplitData:
    chosen = [q for q in queries if q.split == split]
    return RetrievalSplitData(
        corpus=corpus,
        queries=datasets.Dataset.from_list([{"id": q.id, "text": q.text} for q in chosen]),
        relevant_docs={q.id: dict.fromkeys(q.relevant, 1) for q in chosen},
        top_ranked=None,
    )


class StoredEncoder(AbsEncoder):
    """An encoder as mteb sees it: prompts chosen by mteb's rules, vectors from a `VectorStore`, cut to one width.

    Args:
        store: Where the vectors come from.
        prompts: The model's prompt table; empty for a model that was trained without.
        dim: Width to cut to.
        name: `organisation/model`, as it stands in the result files.
        report: Progress of the embedding.
    """

    def __init__(
        self, store: VectorStore, prompts: Mapping[str, str], dim: int, name: str, report: Report | None = None
    ) -> None:
        self.store = store
        self.prompts = dict(prompts)
        self.dim = dim
        self.report = report
        self.mteb_model_meta = ModelMeta.create_empty(
            {
                "name": name,
                "revision": store.revision,
                "embed_dim": dim,
                "similarity_fn_name": ScoringFunction.COSINE,
                "modalities": ["text"],
            }
        )

    def encode(
        self,
        inputs: DataLoader[Any],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> Vectors:
        """Unit-length vectors of mteb's texts, shape (n, dim)."""
        texts = [text for batch in inputs for text in batch["text"]]
        prompt = get_prompt(self.prompts, task_metadata, prompt_type) or ""
        return cut(self.store.encode(texts, prompt, self.report), self.dim)


class BM25(BM25Search):
    """mteb's BM25 baseline (bm25s, English stemmer), with the metadata that mteb files its results under."""

    mteb_model_meta = mteb.get_model_meta("mteb/baseline-bm25s")

    def index(self, *args: Any, **kwargs: Any) -> None:
        """Index the corpus; bm25s draws bars on stderr that no setting of mteb's turns off."""
        with contextlib.redirect_stderr(io.StringIO()):
            super().index(*args, **kwargs)

    def search(self, *args: Any, **kwargs: Any) -> RetrievalOutputType:
        """Search, without bm25s's bars."""
        with contextlib.redirect_stderr(io.StringIO()):
            return super().search(*args, **kwargs)


def score(model: Any, task: AbsTaskRetrieval, results: Path, *, label: str, role: str, dim: int | None) -> list[Score]:
    """Run mteb on one model and read its metrics, one `Score` a split; a result that is on disk is not run again.

    Args:
        model: A `StoredEncoder` or `BM25`.
        task: What `retrieval_task` returned.
        results: Folder of mteb's result files.
        label: Name in tables.
        role: `bm25`, `base`, `prefinetuned` or `gecko`.
        dim: Width, None for BM25.
    """
    with warnings.catch_warnings(), _quiet("mteb", "bm25s"):
        warnings.simplefilter("ignore")
        outcome = mteb.evaluate(
            model,
            task,
            cache=ResultCache(results),
            co2_tracker=False,
            show_progress_bar=False,
            encode_kwargs={"show_progress_bar": False},
        )
    rows = outcome.task_results[0].scores
    return [
        Score(label, role, dim, split, {m: round(float(rows[split][0][m]), DIGITS) for m in METRICS})
        for split in sorted(rows)
    ]


class _quiet:
    """Lets only errors of some loggers through; mteb logs each phase of each call."""

    def __init__(self, *names: str) -> None:
        self.loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self.levels = [logger.level for logger in self.loggers]
        for logger in self.loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *error: object) -> None:
        for logger, level in zip(self.loggers, self.levels, strict=True):
            logger.setLevel(level)
