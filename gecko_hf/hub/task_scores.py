"""Scores on held-out tasks as tables: on the terminal, on the report page and in the model card.

A mean over types is the mean of each type's mean, so that many tasks of one type do not outweigh another type. Reranking
counts as retrieval, and pair classification as similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rich.table import Table

MEAN = "mean over types"
TYPES = {"Reranking": "Retrieval", "PairClassification": "STS"}


def type_means(scores: Sequence[dict[str, Any]]) -> dict[tuple[str, int], dict[str, float]]:
    """(Role, width) -> type -> mean of its tasks, in points; under `MEAN` the mean over types, which stands last."""
    values: dict[tuple[str, int], dict[str, list[float]]] = {}
    for s in sorted(scores, key=lambda s: TYPES.get(s["type"], s["type"])):
        of = values.setdefault((s["role"], s["dim"]), {})
        of.setdefault(TYPES.get(s["type"], s["type"]), []).append(100 * s["value"])
    means = {who: {kind: fmean(found) for kind, found in of.items()} for who, of in values.items()}
    return {who: of | {MEAN: fmean(of.values())} for who, of in means.items()}


def task_lines(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each task, each type and the mean over types, in points: the heading first; nothing without tasks.

    Columns: task, type, metric, the base at full width, then at each width Gecko and its difference from the base at full
    width. What a narrow vector loses is thus seen against what a whole one of the base has.
    """
    scores = summary["task_scores"]
    if not scores:
        return []
    found = {(s["role"], s["dim"], s["task"]): 100 * s["value"] for s in scores}
    dims = sorted({s["dim"] for s in scores if s["role"] == "gecko"}, reverse=True)
    widest = max(s["dim"] for s in scores if s["role"] == "base")
    tasks = {s["task"]: (TYPES.get(s["type"], s["type"]), s["metric"]) for s in scores}
    means = type_means(scores)

    def line(label: tuple[str, str, str], base: float, own: list[float]) -> tuple[str, ...]:
        return (*label, f"{base:.1f}", *(cell for value in own for cell in (f"{value:.1f}", f"{value - base:+.1f}")))

    head = ("task", "type", "metric", f"base {widest}", *(cell for dim in dims for cell in (f"Gecko {dim}", "points")))
    lines = [
        line(
            (task.removeprefix("Local-"), kind, metric),
            found["base", widest, task],
            [found["gecko", d, task] for d in dims],
        )
        for task, (kind, metric) in sorted(tasks.items(), key=lambda item: (item[1], item[0]))
    ]
    lines += [
        line(
            (kind if kind == MEAN else f"mean of {kind}", "", ""),
            value,
            [means["gecko", dim][kind] for dim in dims],
        )
        for kind, value in means["base", widest].items()
    ]
    return [head, *lines]


def task_table(summary: dict[str, Any]) -> Table | None:
    """The lines for the terminal; None without tasks."""
    lines = task_lines(summary)
    if not lines:
        return None
    table = Table(title="Held-out data sets, in points; the base with its own prompts, if any", title_justify="left")
    shown = [0, 3, 4, 5, *range(6, len(lines[0]), 2)]  # a screen is 80 columns wide: one difference, no type and metric
    for i in shown:
        name = lines[0][i].removeprefix("Gecko ") if i > 5 else lines[0][i]
        table.add_column(name, justify="right" if i else "left")
    for line in lines[1:]:
        table.add_row(*(line[i] for i in shown), style="bold" if line[0].startswith("mean") else None)
    return table


def task_markdown(summary: dict[str, Any]) -> str:
    """The lines as a Markdown table; empty without tasks."""
    lines = task_lines(summary)
    if not lines:
        return ""
    rule = "|---|---|---|" + "---:|" * (len(lines[0]) - 3)
    head, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, rule, *rest])
