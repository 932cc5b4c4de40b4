"""One block of `evaluation.tasks`: a data set that is kept out of training, and the task that it becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.errors import RecipeError
from gecko_hf.schema import number
from gecko_hf.source_recipe import SourceRecipe, check_columns

TaskKind = Literal["retrieval", "reranking", "sts", "pairs", "same_label", "classification", "clustering"]
ROLES: dict[TaskKind, tuple[str, ...]] = {  # what a kind reads of a row
    "retrieval": ("query", "text"),
    "reranking": ("query", "positives", "negatives"),
    "sts": ("sentence1", "sentence2", "score"),
    "pairs": ("sentence1", "sentence2", "label"),
    "same_label": ("text", "label"),
    "classification": ("text", "label"),
    "clustering": ("text", "label"),
}
ALSO: dict[TaskKind, tuple[str, ...]] = {"retrieval": ("title",)}  # and what it reads as well, where a row has it
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")  # of a task, which is a folder and a part of mteb's name


@dataclass(frozen=True)
class TaskRecipe(SourceRecipe):
    """A held-out data set.

    Attributes:
        kind: What is asked of it (`held_out.py`).
        values: Label -> number, for `sts` and `pairs`; rows with another label are left out.
        documents: Passages of a `retrieval` corpus, at most; those that a query asks for are among them.
    """

    kind: TaskKind = "retrieval"
    values: dict[str, float] = field(default_factory=dict)
    documents: int = number(4000, low=2)


def check_tasks(tasks: Mapping[str, TaskRecipe], where: str) -> None:
    """Refuse what can be seen to be wrong before anything is read.

    Raises:
        RecipeError: For a task without a source, a name that cannot be one, a column that would not be read, `documents` of
            another kind than `retrieval`, or values of another than `sts` and `pairs`.
    """
    for name, task in tasks.items():
        if not NAME.fullmatch(name):
            raise RecipeError(
                f"{where}: a task is called {name!r}, and a name is made of letters, digits, -, _ and dots. Call it otherwise."
            )
        check_columns(task, task.kind, (*ROLES[task.kind], *ALSO.get(task.kind, ())), f"{where}.{name}")
        if task.source is None:
            raise RecipeError(f"{where}.{name}.source is missing. Name a file, a folder or a Hub data set id.")
        if task.documents != TaskRecipe().documents and task.kind != "retrieval":
            raise RecipeError(
                f"{where}.{name}.documents caps the passages of retrieval, and this is kind: {task.kind}."
            )
        if task.values and task.kind not in ("sts", "pairs"):
            raise RecipeError(f"{where}.{name}.values gives numbers to labels of sts and pairs, not of {task.kind}.")
        if task.kind == "pairs" and task.values and set(task.values.values()) != {0.0, 1.0}:
            raise RecipeError(f"{where}.{name}.values must be 0 and 1 for pairs.")
