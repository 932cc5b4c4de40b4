"""One mteb task on one encoder: mteb's evaluators, mteb's result files, and the scores of single queries beside them.

mteb takes a finished result from disk, a half-finished one from the split where it stopped. Two things it does not see are
handled here: a result on data that has changed since, and random numbers that a task draws from where the run before it left
off (a clustering score would depend on which widths were measured before it).
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import mteb
import numpy as np
import torch
import transformers
from mteb.abstasks.abstask import AbsTask
from mteb.abstasks.clustering import AbsTaskClustering
from mteb.abstasks.clustering_legacy import AbsTaskClusteringLegacy
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.cache import ResultCache
from mteb.results import TaskResult
from pydantic import ValidationError
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gecko_hf.evaluation.quiet import quiet

# mteb's metric -> the per-query measure of pytrec_eval that it is the mean of
PER_QUERY = {"ndcg_at_": "ndcg_cut_", "map_at_": "map_cut_", "recall_at_": "recall_", "precision_at_": "P_"}
HALF_WRITTEN = (json.JSONDecodeError, ValidationError, UnicodeDecodeError)  # what reading such a result file raises
QueryScores = dict[str, dict[str, float]]  # "split/subset" -> query id -> main metric


class Results(ResultCache):
    """mteb's result files; one that a killed process left half written counts as missing."""

    def load_task_result(self, task_name: str, model_name: Any, *args: Any, **kwargs: Any) -> TaskResult | None:
        """The result of a task, or None where there is none that can be read."""
        try:
            return super().load_task_result(task_name, model_name, *args, **kwargs)
        except HALF_WRITTEN:
            file = self.get_task_result_path(task_name, model_name, *args)
            file.replace(file.with_suffix(".json.broken"))
            return None


def run_task(model: Any, task: AbsTask, cache: ResultCache, *, again: bool = False) -> tuple[TaskResult, QueryScores]:
    """Run a task unless its result is on disk.

    Args:
        model: A `ModelEncoder`, or a search model of mteb's protocol.
        task: One task, not an aggregate.
        cache: Where result files are.
        again: Run it even if its result is there.

    Returns:
        The result, and the main metric of every query where the task has queries and was run now.
    """
    found = cache.load_task_result(task.metadata.name, model.mteb_model_meta)
    stale = found is not None and found.dataset_revision != task.metadata.revision
    task.rng_state, task.np_rng = random.Random(task.seed), np.random.default_rng(task.seed)
    transformers.set_seed(task.seed)
    clusters = isinstance(task, AbsTaskClustering | AbsTaskClusteringLegacy)
    with (
        query_scores(task) as scores,
        one_thread_beside_torch() if clusters else nullcontext(),
        quiet("mteb", "bm25s"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        outcome = mteb.evaluate(
            model,
            task,
            cache=cache,
            co2_tracker=False,
            show_progress_bar=False,
            encode_kwargs={"show_progress_bar": False},
            overwrite_strategy="always" if again or stale else "only-missing",
        )
    return outcome.task_results[0], scores


@contextmanager
def query_scores(task: AbsTask) -> Iterator[QueryScores]:
    """Keep what mteb hands to a search task's `task_specific_scores` hook: every metric of every query."""
    kept: QueryScores = {}
    measure = per_query_measure(str(task.metadata.main_score))
    if not isinstance(task, AbsTaskRetrieval) or measure is None:
        yield kept
        return
    hook = task.task_specific_scores

    def keep(scores: Any, qrels: Any, results: Any, hf_split: str, hf_subset: str) -> dict[str, float]:
        kept[f"{hf_split}/{hf_subset}"] = {query: float(values[measure]) for query, values in scores.items()}
        return hook(scores, qrels, results, hf_split, hf_subset)

    vars(task)["task_specific_scores"] = keep  # shadows the method on this object only
    try:
        yield kept
    finally:
        del vars(task)["task_specific_scores"]


@contextmanager
def one_thread_beside_torch() -> Iterator[None]:
    """Give all numerical libraries one thread, and PyTorch, which embeds the texts, those that it had.

    mteb clusters by batches of 512 texts, which are two pieces of work of scikit-learn's: two threads take longer over them
    than one does, and many times longer where a core has other work too. Where a library shares its threads with PyTorch, it
    keeps them.
    """
    threads = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(threads)
        yield


def per_query_measure(metric: str) -> str | None:
    """The measure of single queries whose mean is an mteb metric; None where there is none."""
    for prefix, measure in PER_QUERY.items():
        if metric.startswith(prefix):
            return metric.replace(prefix, measure, 1)
    return None
