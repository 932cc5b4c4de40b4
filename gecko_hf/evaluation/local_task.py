"""A task on data of one's own, as a real mteb task: mteb's evaluators score it, its results say that it is local."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mteb.abstasks.abstask import AbsTask
from mteb.abstasks.task_metadata import TaskMetadata, TaskType

PREFIX = "Local-"  # of the names of tasks that `--local` reads
MAIN_SCORE: dict[TaskType, str] = {
    "Retrieval": "ndcg_at_10",
    "Reranking": "map_at_1000",
    "STS": "cosine_spearman",
    "PairClassification": "max_ap",
    "Classification": "accuracy",
    "Clustering": "v_measure",
}


class Local:
    """What local tasks share: their data comes from a function instead of the Hub."""

    read: Callable[[], Any]
    data_loaded: bool
    dataset: Any

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the data."""
        if not self.data_loaded:
            self.dataset = type(self).read()
            self.data_loaded = True


def local_task(
    base: type[AbsTask],
    task_type: TaskType,
    name: str,
    description: str,
    read: Callable[[], Any],
    *,
    splits: Sequence[str],
    revision: str,
    **attributes: Any,
) -> AbsTask:
    """Make a task.

    Args:
        base: mteb's class of the type.
        task_type: mteb's name of the type; chooses prompts and main metric.
        name: Name in the result files.
        description: What the data is.
        read: Gives the data in the form that `base` keeps in `dataset`.
        splits: The splits that are scored.
        revision: Changes when the data does; a result of another revision is not used again.
        attributes: Settings of `base`, for example column names.
    """
    metadata = TaskMetadata(
        name=name,
        description=description,
        type=task_type,
        category="t2t",
        modalities=["text"],
        dataset={"path": f"local/{name}", "revision": revision},
        eval_splits=list(splits),
        eval_langs=["eng-Latn"],
        main_score=MAIN_SCORE[task_type],
        is_public=False,
    )
    # mteb names a task by a class attribute, so each one is a class of its own.
    made = type(name, (Local, base), {"metadata": metadata, "read": staticmethod(read), **attributes})
    task: AbsTask = made()
    return task


def is_local(task: AbsTask) -> bool:
    """Whether a task's data is one's own."""
    return isinstance(task, Local)
