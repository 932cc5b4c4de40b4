"""Scores of a run: its yardstick as an mteb task, and every model of the run on it through the encoder of `gecko-hf evaluate`.

Each text is embedded once at full width, in the run's own store, and the Matryoshka widths are cut from that.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets
import mteb
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.models.model_implementations.bm25 import BM25Search
from mteb.types import RetrievalOutputType

from gecko_hf.corpus.passages import Passage
from gecko_hf.corpus.store import FILE, write_corpus
from gecko_hf.evaluation.local_search import search_split
from gecko_hf.evaluation.local_task import local_task
from gecko_hf.evaluation.run_task import Results, run_task
from gecko_hf.evaluation.yardstick import YardstickQuery

METRICS = ("ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10")
DEPTHS = (1, 3, 5, 10, 20, 100)  # mteb's without 1000, which nothing shown here needs and which doubles the time
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
    folder = tempfile.mkdtemp(prefix="gecko-corpus-")

    def read() -> Any:
        # On disk, where mteb's own form of the corpus is kept for the next model and split; in memory it is made anew.
        write_corpus(passages, Path(folder))
        corpus = datasets.Dataset.from_parquet(str(Path(folder) / FILE), cache_dir=folder)
        return {"default": {split: _split(corpus, queries, split) for split in splits}}

    task = local_task(
        AbsTaskRetrieval,
        "Retrieval",
        name,
        description,
        read,
        splits=splits,
        revision=_hash_of_rows(itertools.chain(passages, queries)),
        k_values=DEPTHS,
    )
    assert isinstance(task, AbsTaskRetrieval)  # made from that class
    weakref.finalize(task, shutil.rmtree, folder, ignore_errors=True)
    task.load_data()  # once for all models; mteb would load it anew for each
    return task


def _hash_of_rows(rows: Iterable[Passage | YardstickQuery]) -> str:
    """A hash of rows, read one by one."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(asdict(row)).encode())
    return digest.hexdigest()[:16]


def _split(corpus: Any, queries: Iterable[YardstickQuery], split: str) -> RetrievalSplitData:
    chosen = [q for q in queries if q.split == split]
    texts = datasets.Dataset.from_list([{"id": q.id, "text": q.text} for q in chosen])
    return search_split(corpus, texts, {q.id: dict.fromkeys(q.relevant, 1) for q in chosen})


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
        model: A `ModelEncoder` or `BM25`.
        task: What `retrieval_task` returned.
        results: Folder of mteb's result files.
        label: Name in tables.
        role: `bm25`, `base`, `prefinetuned` or `gecko`.
        dim: Width, None for BM25.
    """
    result, _ = run_task(model, task, Results(results))
    return [
        Score(label, role, dim, split, {m: round(float(result.scores[split][0][m]), DIGITS) for m in METRICS})
        for split in sorted(result.scores)
    ]
