"""What a score was measured with, beside mteb's result: prompts, settings, versions, machine, time, scores of single queries.

`RESULTS/records/` mirrors `RESULTS/results/`. A record is written after mteb's file, so a task without one is measured again;
a task that was measured with other prompts, data, splits, subsets or settings is too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mteb
from mteb.abstasks.abstask import AbsTask
from mteb.cache import ResultCache
from mteb.models.model_meta import ModelMeta

from gecko_hf.evaluation.local_task import is_local
from gecko_hf.evaluation.model import OpenModel
from gecko_hf.evaluation.prompt_report import flatten, task_rows
from gecko_hf.evaluation.run_task import QueryScores
from gecko_hf.evaluation.tasks import splits_of
from gecko_hf.run_folder import environment, write_json


def record_file(cache: ResultCache, task: str, meta: ModelMeta) -> Path:
    """Where the record of a task lies."""
    result = cache.get_task_result_path(task, meta)
    return cache.cache_path / "records" / result.relative_to(cache.cache_path / "results")


def settings(opened: OpenModel, task: AbsTask) -> dict[str, Any]:
    """Everything that a score depends on besides weights and width; similarity and precision where they are not the usual."""
    similarity = opened.model.similarity_fn_name
    return {
        "prompts": {row.side: {"name": row.name, "prefix": row.prefix} for row in task_rows(opened.model, [task])},
        "dataset_revision": task.metadata.revision,
        "splits": splits_of(task),
        "max_seq_length": opened.model.max_seq_length,
        "dtype": opened.dtype,
        "mteb": mteb.__version__,
        **({} if similarity == "cosine" else {"similarity": similarity}),
        **({} if opened.precision == "float32" else {"precision": opened.precision}),
    }


def read_record(file: Path) -> dict[str, Any] | None:
    """A record, or None where there is none."""
    if not file.is_file():
        return None
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def differing(record: dict[str, Any] | None, wanted: dict[str, Any]) -> list[str]:
    """The settings in which a record differs from what is wanted now."""
    found = (record or {}).get("settings", {})
    return [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]


def write_record(
    file: Path,
    opened: OpenModel,
    task: AbsTask,
    dim: int,
    *,
    seconds: float = 0.0,
    embedded: tuple[int, float] = (0, 0.0),
    device: str = "",
    queries: QueryScores | None = None,
) -> None:
    """Write a record.

    Args:
        file: Where.
        opened: The model.
        task: What was measured.
        dim: At which width.
        seconds: How long, all in all; an aggregate takes none of its own.
        embedded: Texts that were embedded for this task at its first width, and the seconds that took.
        device: Where.
        queries: The main metric of every query.
    """
    texts, encode_seconds = embedded
    write_json(
        {
            "task": task.metadata.name,
            "type": task.metadata.type,
            "metric": task.metadata.main_score,
            "local": is_local(task),
            "parts": [part.metadata.name for part in flatten([task]) if part is not task],
            "model": opened.name,
            "revision": opened.revision,
            "dim": dim,
            "width": opened.width,
            "parameters": sum(p.numel() for p in opened.model.parameters()),
            "settings": settings(opened, task),
            "seconds": round(seconds, 2),
            "texts": texts,
            "texts_per_second": round(texts / encode_seconds, 1) if encode_seconds else None,
            "device": device,
            "environment": environment(),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "queries": queries or {},
        },
        file,
    )
