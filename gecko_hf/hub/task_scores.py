"""Scores on held-out tasks as tables: on the terminal, on the report page and in the model card.

A mean over types is the mean of each type's mean, so that many tasks of one type do not outweigh another type. Reranking
counts as retrieval, and pair classification as similarity.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rich.table import Table

TYPES = {"Reranking": "Retrieval", "PairClassification": "STS"}


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
    kinds = sorted({kind for kind, _ in tasks.values()})

    def of_type(role: str, dim: int, kind: str) -> float:
        return fmean(found[role, dim, task] for task, (own, _) in tasks.items() if own == kind)

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
        line((f"mean of {kind}", "", ""), of_type("base", widest, kind), [of_type("gecko", d, kind) for d in dims])
        for kind in kinds
    ]
    means = [
        fmean(of_type(role, dim, kind) for kind in kinds)
        for role, dim in [("base", widest), *(("gecko", d) for d in dims)]
    ]
    return [head, *lines, line(("mean over types", "", ""), means[0], means[1:])]


def task_table(summary: dict[str, Any]) -> Table | None:
    """The lines for the terminal; None without tasks."""
    lines = task_lines(summary)
    if not lines:
        return None
    table = Table(
        title="Held-out data sets, in points; the base without prompts at its own length", title_justify="left"
    )
    for i, name in enumerate(lines[0]):
        table.add_column(name, justify="left" if i < 3 else "right")
    for line in lines[1:]:
        table.add_row(*line, style="bold" if line[0].startswith("mean") else None)
    return table


def task_markdown(summary: dict[str, Any]) -> str:
    """The lines as a Markdown table; empty without tasks."""
    lines = task_lines(summary)
    if not lines:
        return ""
    rule = "|---|---|---|" + "---:|" * (len(lines[0]) - 3)
    head, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, rule, *rest])
