"""Results on disk as rows: mteb's files, and the records beside them where this package measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mteb.results import TaskResult
from rich.table import Table

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.local_task import PREFIX
from gecko_hf.evaluation.records import read_record
from gecko_hf.evaluation.run_task import HALF_WRITTEN
from gecko_hf.evaluation.tasks import mteb_tasks


@dataclass(frozen=True)
class TaskScore:
    """One task, one model, one width.

    Attributes:
        model: `organisation/name`.
        revision: Of the model.
        dim: Width; None if the result does not tell.
        task: mteb's or a local one.
        type: mteb's task type.
        metric: The main metric.
        value: Its mean over splits and subsets, as mteb takes it.
        data: Revision of the data, as mteb's file has it.
        splits: The splits that `value` is the mean over, each with its subsets.
        record: What it was measured with; empty if another tool measured it.
    """

    model: str
    revision: str
    dim: int | None
    task: str
    type: str
    metric: str
    value: float
    data: str
    splits: dict[str, list[str]] = field(compare=False)
    record: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def local(self) -> bool:
        """Whether the task's data is the user's own."""
        return bool(self.record.get("local"))

    @property
    def queries(self) -> dict[str, float]:
        """The main metric of every query: `split/subset/id` -> value; empty where there are no queries."""
        parts = self.record.get("queries", {}).items()
        return {f"{part}/{query}": value for part, values in parts for query, value in values.items()}


def read_results(folder: Path, say: Callable[[str], None] = lambda _: None) -> list[TaskScore]:
    """Every result in a folder that `gecko-hf evaluate` or mteb wrote.

    A file that a kill left half written is not among them, nor is a local task without a record. A task of mteb may have none:
    mteb by itself writes none, so what a kill left between result and record is taken for mteb's own.

    Args:
        folder: The results folder.
        say: Told of every other file that is left out.

    Raises:
        EvaluationError: If there is none.
    """
    root = folder / "results"
    files = [file for file in sorted(root.glob("*/*/**/*.json")) if _is_result(file)]
    scores = [score for file in files if (score := _read(file, root, folder / "records", say))]
    if not scores:
        raise EvaluationError(
            f"{folder} holds no results (expected {root}/MODEL/REVISION/TASK.json). Run gecko-hf evaluate."
        )
    return scores


def _is_result(file: Path) -> bool:
    return file.name != "model_meta.json"


def _read(file: Path, root: Path, records: Path, say: Callable[[str], None]) -> TaskScore | None:
    record = read_record(records / file.relative_to(root)) or {}
    if not record and file.name.startswith(PREFIX):  # a record is written last, and mteb does not know the task
        return None
    try:
        result = _asked(TaskResult.from_disk(file), record.get("settings", {}).get("splits"))
        if record:
            task_type, metric = record["type"], record["metric"]
        else:
            metadata = mteb_tasks([result.task_name])[0].metadata
            task_type, metric = str(metadata.type), metadata.main_score
    except HALF_WRITTEN:
        return None
    except (EvaluationError, KeyError) as error:  # the latter of a file that has neither mteb's form nor an older one
        say(f"{file} is left out, for it is no result of a task that is known here: {error}")
        return None
    if not any(result.scores.values()):
        say(f"{file} is left out, for it holds none of the splits and subsets that its record names. Measure it again.")
        return None
    model, revision, *_ = file.relative_to(root).parts
    dim = record.get("dim") or _dim(file.parent / "model_meta.json")
    value = float(result.get_score())
    name, data = model.replace("__", "/", 1), result.dataset_revision
    splits = {split: sorted(one["hf_subset"] for one in found) for split, found in result.scores.items()}
    return TaskScore(name, revision, dim, result.task_name, task_type, metric, value, data, splits, record)


def _asked(result: TaskResult, splits: dict[str, list[str]] | None) -> TaskResult:
    """A result without the splits and subsets that its record does not name: mteb by itself adds others to the file."""
    if splits is None:
        return result
    scores = {
        split: [one for one in found if one["hf_subset"] in splits[split]]
        for split, found in result.scores.items()
        if split in splits
    }
    return result.model_copy(update={"scores": scores})


def _dim(meta: Path) -> int | None:
    if not meta.is_file():
        return None
    dim = json.loads(meta.read_text(encoding="utf-8")).get("embed_dim")
    return int(dim) if dim else None


def score_table(scores: list[TaskScore], title: str) -> Table:
    """Scores (0 to 100) for the terminal: a line a task, a column a width."""
    dims = sorted({s.dim or 0 for s in scores}, reverse=True)
    table = Table(title=title, title_justify="left")
    for column in ("task", "type", "metric"):
        table.add_column(column)
    for dim in dims:
        table.add_column(str(dim or "?"), justify="right")
    found = {(s.task, s.dim or 0): s for s in scores}
    for task in dict.fromkeys(s.task for s in scores):
        first = next(s for s in scores if s.task == task)
        cells = [f"{100 * found[task, dim].value:.2f}" if (task, dim) in found else "" for dim in dims]
        table.add_row(task + (" (local)" if first.local else ""), first.type, first.metric, *cells)
    return table
