"""Measure one model on many tasks at its Matryoshka widths; what is measured already is skipped."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mteb
from mteb.abstasks.abstask import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.models.model_meta import ModelMeta

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.encoder import ModelEncoder, RawVectors
from gecko_hf.evaluation.label_lists import with_label_lists
from gecko_hf.evaluation.model import OpenModel
from gecko_hf.evaluation.prompt_report import flatten
from gecko_hf.evaluation.quiet import quiet
from gecko_hf.evaluation.records import differing, read_record, record_file, settings, write_record
from gecko_hf.evaluation.run_task import Results, run_task
from gecko_hf.progress import View
from gecko_hf.source import UNREACHED


@dataclass(frozen=True)
class Job:
    """One task and the widths at which it is still to be measured.

    Attributes:
        task: Never an aggregate.
        dims: Empty if everything is done.
        why: The settings that differ from an earlier measurement, if there was one.
    """

    task: AbsTask
    dims: tuple[int, ...]
    why: tuple[str, ...] = ()


def model_meta(opened: OpenModel, dim: int) -> ModelMeta:
    """Name, revision and facts that mteb files results under; a width below the full one is an experiment of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mteb warns of arguments that it passes itself
        meta = ModelMeta.from_sentence_transformer_model(opened.model)
    return meta.model_copy(
        update={
            "name": opened.name,
            "revision": opened.revision,
            "n_parameters": sum(p.numel() for p in opened.model.parameters()),
            "embed_dim": dim,
            "experiment_kwargs": {"embed_dim": dim} if dim != opened.width else None,
        }
    )


def check_widths(opened: OpenModel, dims: Sequence[int]) -> tuple[int, ...]:
    """The widths, widest first; the full one if none is named.

    Raises:
        EvaluationError: If the model is narrower than a width.
    """
    chosen = tuple(sorted(set(dims), reverse=True)) or (opened.width,)
    if chosen[0] > opened.width or chosen[-1] < 1:
        raise EvaluationError(f"{opened.name} has vectors of {opened.width}; ask for widths from 1 to {opened.width}.")
    return chosen


def plan(opened: OpenModel, tasks: Sequence[AbsTask], dims: Sequence[int], results: Path) -> list[Job]:
    """What is still to be measured: every task with its missing widths.

    Args:
        opened: The model.
        tasks: Tasks; an aggregate stands for its parts.
        dims: What `check_widths` returned.
        results: The results folder.
    """
    cache = Results(results)
    metas = {dim: model_meta(opened, dim) for dim in dims}
    jobs = []
    for task in flatten(tasks):
        wanted, missing, why = settings(opened, task), [], set()
        for dim, meta in metas.items():
            record = read_record(record_file(cache, task.metadata.name, meta))
            result = cache.load_task_result(task.metadata.name, meta)
            different = differing(record, wanted)
            if different or result is None or result.get_missing_evaluations(task):
                missing.append(dim)
                why |= set(different) if record else set()
        jobs.append(Job(task, tuple(missing), tuple(sorted(why))))
    return jobs


def evaluate(
    opened: OpenModel,
    tasks: Sequence[AbsTask],
    dims: Sequence[int],
    results: Path,
    view: View,
    *,
    batch_size: int = 64,
    devices: Sequence[str] = (),
) -> list[Job]:
    """Measure what `plan` says, task by task.

    A task is embedded once; its vectors wait on disk while it is scored at every width, and are removed then. So memory and
    disk hold one task at a time, and mteb searches a corpus in blocks of 50,000 passages.

    Args:
        opened: The model.
        tasks: Tasks; an aggregate is combined from its parts at the end.
        dims: What `check_widths` returned.
        results: The results folder, in mteb's layout.
        view: Where progress is shown.
        batch_size: Texts a batch.
        devices: More than one: a process each.

    Returns:
        What was measured now.

    Raises:
        EvaluationError: After everything else was measured, if the data of some tasks could not be loaded.
    """
    results.mkdir(parents=True, exist_ok=True)
    jobs = [job for job in plan(opened, tasks, dims, results) if job.dims]
    failed: dict[str, str] = {}
    with view.task("tasks measured") as measured:
        for done, job in enumerate(jobs):
            measured(done, len(jobs))
            name = job.task.metadata.name
            if job.why:
                view.say(f"{name}: measured before with other {', '.join(job.why)}; measuring again.")
            with view.task(name) as report:
                try:
                    _load(job.task)
                except UNREACHED as error:
                    failed[name] = " ".join(str(error).split())
                    continue
                line = _measure(opened, job, Results(results), batch_size, devices, report)
            view.say(f"{name}: {line}")
    _combine(opened, [t for t in tasks if isinstance(t, AbsTaskAggregate)], dims, Results(results), failed)
    if failed:
        raise EvaluationError(
            "The data of these tasks could not be loaded; everything else is measured, and the same command tries them again:\n"
            + "\n".join(f"- {name}: {why}" for name, why in failed.items())
        )
    return jobs


def _load(task: AbsTask) -> None:
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task.load_data()
    with_label_lists(task)


def _measure(
    opened: OpenModel, job: Job, cache: Results, batch_size: int, devices: Sequence[str], report: object
) -> str:
    """Measure one task, whose data is loaded, at its widths; returns a line for the view."""
    task = job.task
    parts = []
    with tempfile.TemporaryDirectory(prefix=".vectors-", dir=cache.cache_path) as folder:
        keep = Path(folder) if len(job.dims) > 1 else None
        with RawVectors(opened.model, batch_size, keep, devices, report, opened.precision) as vectors:  # type: ignore[arg-type]
            for dim in job.dims:
                start = time.monotonic()
                meta = model_meta(opened, dim)
                record = record_file(cache, task.metadata.name, meta)
                record.unlink(missing_ok=True)  # of other settings: a kill would leave it beside the new numbers
                # Again, since a result without a record may be of other settings, and half of one, too.
                result, queries = run_task(ModelEncoder(opened.model, vectors, dim, meta), task, cache, again=True)
                write_record(
                    record,
                    opened,
                    task,
                    dim,
                    seconds=time.monotonic() - start,
                    embedded=(vectors.texts, vectors.seconds),
                    device=", ".join(devices) or str(opened.model.device),
                    queries=queries,
                )
                parts.append(f"{result.get_score():.4f} at {dim}")
            rate = f", {vectors.texts / vectors.seconds:,.0f} texts/s" if vectors.seconds else ""
    task.unload_data()
    return f"{task.metadata.main_score} {', '.join(parts)}{rate}"


def _combine(
    opened: OpenModel,
    aggregates: Sequence[AbsTaskAggregate],
    dims: Sequence[int],
    cache: Results,
    failed: dict[str, str],
) -> None:
    """Let mteb put the parts of aggregates together, from the result files of the parts."""
    for task in aggregates:
        if any(part.metadata.name in failed for part in flatten([task])):
            continue
        for dim in dims:
            meta = model_meta(opened, dim)
            # mteb would keep an earlier mean, whatever became of the parts.
            cache.get_task_result_path(task.metadata.name, meta).unlink(missing_ok=True)
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mteb.evaluate(
                    meta, task, cache=cache, co2_tracker=False, show_progress_bar=False, overwrite_strategy="only-cache"
                )
            write_record(record_file(cache, task.metadata.name, meta), opened, task, dim)
