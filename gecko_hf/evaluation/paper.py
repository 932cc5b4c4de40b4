"""The paper's scores as data, and a model's own beside them (paper, Tables 1 and 8; `paper_scores.json`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.results import TaskScore
from gecko_hf.evaluation.tasks import PAPER_BENCHMARK, paper_tasks, splits_of

PAPER_DIMS = (768, 256)
NOT_RUN = "not run"


@dataclass(frozen=True)
class PaperRow:
    """A task or a mean, in points (0 to 100).

    Attributes:
        name: Task, task type, or `all`.
        type: mteb's task type; empty for means.
        paper: gecko-1b at the nearest of the paper's widths.
        ours: The measured model; None if it was not run, or a part of a mean was not.
    """

    name: str
    type: str
    paper: float
    ours: float | None


@cache
def paper_scores() -> dict[str, Any]:
    """Source, notes, `models` (Table 1) and `tasks` (Table 8: type, score at 256 and 768)."""
    scores: dict[str, Any] = json.loads((Path(__file__).parent / "paper_scores.json").read_text(encoding="utf-8"))
    return scores


@cache
def paper_splits() -> dict[str, dict[str, list[str]]]:
    """Task -> what it is measured on in the paper's benchmark."""
    return {task.metadata.name: splits_of(task) for task in paper_tasks()}


def paper_dim(dim: int) -> int:
    """The paper's width that a width is laid beside: the nearest one."""
    return min(PAPER_DIMS, key=lambda width: abs(width - dim))


def compare_with_paper(scores: Sequence[TaskScore], dim: int) -> list[PaperRow]:
    """Every task of Table 8, then the means over types and over all.

    Args:
        scores: One model's results; tasks that the paper does not have are left out.
        dim: The width to compare.

    Raises:
        EvaluationError: If a task was measured on other splits or subsets than the paper's.
    """
    column, asked = str(paper_dim(dim)), paper_splits()
    here = [s for s in scores if s.dim == dim]
    for score in here:
        if score.splits != asked.get(score.task, score.splits):
            raise EvaluationError(
                f"{score.task} was measured on {score.splits}, and the paper's score is of {asked[score.task]}. Measure it with "
                f'--paper, or with --benchmark "{PAPER_BENCHMARK}".'
            )
    ours = {s.task: 100 * s.value for s in here}
    tasks = [PaperRow(name, t["type"], t[column], ours.get(name)) for name, t in paper_scores()["tasks"].items()]
    types = dict.fromkeys(row.type for row in tasks)
    means = [_mean(f"mean {kind}", [row for row in tasks if row.type == kind]) for kind in types]
    return [*tasks, *means, _mean("mean of all", tasks)]


def _mean(name: str, rows: Sequence[PaperRow]) -> PaperRow:
    """A mean is ours only if every part was measured: a mean over the easy half compares with nothing."""
    measured = [row.ours for row in rows if row.ours is not None]
    ours = fmean(measured) if len(measured) == len(rows) else None
    return PaperRow(f"{name} ({len(measured)} of {len(rows)})", "", fmean(row.paper for row in rows), ours)


def cells(row: PaperRow) -> tuple[str, str, str, str]:
    """A row as text: name, paper, ours, difference."""
    if row.ours is None:
        return row.name, f"{row.paper:.2f}", NOT_RUN, ""
    return row.name, f"{row.paper:.2f}", f"{row.ours:.2f}", f"{row.ours - row.paper:+.2f}"


def paper_table(scores: Sequence[TaskScore], dim: int, name: str) -> Table:
    """The comparison for the terminal."""
    table = Table(
        title=f"{_without(dim, name)} at {dim} beside the paper", title_justify="left", caption_justify="left"
    )
    table.caption = paper_scores()["source"]
    for column in ("task", f"gecko-1b-{paper_dim(dim)}", f"at {dim}", "difference"):
        table.add_column(column, justify="left" if column == "task" else "right", overflow="fold")
    for row in compare_with_paper(scores, dim):
        table.add_row(*cells(row))
    return table


def paper_markdown(scores: Sequence[TaskScore], dim: int, name: str) -> str:
    """The comparison in Markdown: tasks, means, and the paper's Table 1 with the model's own line."""
    rows, name = compare_with_paper(scores, dim), _without(dim, name)
    lines = [f"| task | gecko-1b-{paper_dim(dim)} | {name} {dim} | difference |", "|---|---:|---:|---:|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    types = list(dict.fromkeys(t["type"] for t in paper_scores()["tasks"].values()))
    lines += [
        "",
        "| model | dim | parameters | " + " | ".join(types) + " | average |",
        "|---|---:|---:|" + "---:|" * (len(types) + 1),
    ]
    for model in paper_scores()["models"]:
        values = [f"{model[key]:.2f}" for key in (*types, "average")]
        lines.append(f"| {model['model']} | {model['dim']} | {model['parameters']} | " + " | ".join(values) + " |")
    own = [f"{row.ours:.2f}" if row.ours is not None else NOT_RUN for row in rows[-len(types) - 1 :]]
    lines += [
        f"| **{name}** | {dim} | {_parameters(scores)} | " + " | ".join(own) + " |",
        "",
        f"Source: {paper_scores()['source']}.",
    ]
    return "\n".join([*lines, *paper_scores()["notes"], ""])


def _without(dim: int, label: str) -> str:
    """A contender's name, whose label has the width behind it."""
    return label.removesuffix(f":{dim}")


def _parameters(scores: Sequence[TaskScore]) -> str:
    counts = [s.record["parameters"] for s in scores if "parameters" in s.record]
    return f"{counts[0] / 1e6:,.0f}M" if counts else "n/a"
