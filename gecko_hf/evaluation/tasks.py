"""Which mteb tasks a command means."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import mteb
from mteb.abstasks.abstask import AbsTask

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.prompt_report import with_parts
from gecko_hf.evaluation.quiet import quiet

PAPER_BENCHMARK = "MTEB(eng, v1)"  # the 56 tasks that the paper reports
T = TypeVar("T")


def mteb_tasks(names: Sequence[str]) -> list[AbsTask]:
    """The mteb tasks of these names, in this order.

    Raises:
        EvaluationError: If mteb knows no task of a name; the nearest one is named.
    """
    return [_find(mteb.get_task, "task", name) for name in names]


def benchmark_tasks(name: str) -> list[AbsTask]:
    """The tasks of an mteb benchmark.

    Raises:
        EvaluationError: If mteb knows no benchmark of the name; the nearest one is named.
    """
    return list(_find(mteb.get_benchmark, "benchmark", name).tasks)


def paper_tasks() -> list[AbsTask]:
    """The 56 tasks of the paper's Table 8."""
    return benchmark_tasks(PAPER_BENCHMARK)


def refuse_tasks_of_paper(paper: bool, names: Sequence[str] | None) -> None:
    """Refuse names of tasks beside the paper's, in a command that shows one or the other.

    Raises:
        EvaluationError: If both are given.
    """
    if paper and names:
        raise EvaluationError("--paper has the paper's tasks, so --tasks would do nothing. Leave one of the two out.")


def splits_of(task: AbsTask) -> dict[str, list[str]]:
    """What a task is measured on: each split with its subsets. A benchmark may ask for fewer than the task by itself has."""
    return {split: sorted(task.hf_subsets) for split in task.eval_splits}


def choose_tasks(names: Sequence[str], benchmark: str | None, local: Sequence[Path], *, paper: bool) -> list[AbsTask]:
    """Every task that a command asks for, each once.

    Args:
        names: Task names; a name may be several, separated by commas.
        benchmark: A benchmark's name.
        local: Folders of local data.
        paper: Whether the paper's tasks are asked for.

    Raises:
        EvaluationError: If nothing is asked for, a name or folder is wrong, different data is called alike, or a task is
            asked for with different splits or subsets, or a task reads more than text.
    """
    from gecko_hf.evaluation.local_data import local_tasks

    tasks = mteb_tasks([name.strip() for part in names for name in part.split(",") if name.strip()])
    tasks += benchmark_tasks(benchmark) if benchmark else []
    tasks += paper_tasks() if paper else []
    tasks += [task for folder in local for task in local_tasks(folder)]
    if not tasks:
        raise EvaluationError(
            "Nothing to measure. Name tasks (--tasks), a benchmark (--benchmark), data (--local), or --paper."
        )
    other = [
        f"{t.metadata.name} ({', '.join(t.metadata.modalities)})" for t in tasks if t.metadata.modalities != ["text"]
    ]
    if other:
        raise EvaluationError(
            f"Only text is measured here, and these read something else: {', '.join(other)}. Leave them out."
        )
    _refuse_two_of_one_name(part for task in tasks for part in with_parts(task))
    chosen: dict[str, AbsTask] = {}
    for task in tasks:
        chosen.setdefault(task.metadata.name, task)
    return list(chosen.values())


def _refuse_two_of_one_name(tasks: Iterable[AbsTask]) -> None:
    """Refuse tasks that are called alike and are not the same: each is measured once, and its result has one place."""
    seen: dict[str, AbsTask] = {}
    for task in tasks:
        first = seen.setdefault(task.metadata.name, task)
        if first.metadata.revision != task.metadata.revision:
            raise EvaluationError(
                f"Two different data sets are called {task.metadata.name}, which comes from the names of their folders. Rename "
                "one of them."
            )
        if splits_of(first) != splits_of(task):
            raise EvaluationError(
                f"{task.metadata.name} is asked for twice, on {splits_of(first)} and on {splits_of(task)}. Ask for one of the "
                "two: a benchmark may take fewer splits and subsets than the task by itself has."
            )


def _find(get: Callable[[str], T], kind: str, name: str) -> T:
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return get(name)
        except KeyError as error:
            message = str(error.args[0]).removeprefix("KeyError: ")  # names the nearest one
            raise EvaluationError(f"mteb {mteb.__version__} knows no {kind} of this name: {message}") from error
