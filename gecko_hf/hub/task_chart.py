"""The picture of scores on held-out tasks: a small chart a type of tasks, ours and the untouched base by width."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gecko_hf.hub.chart import CIRCLE, SQUARE, Chart, render, round_ticks
from gecko_hf.hub.task_scores import type_means

TASKS_CHART = "tasks.svg"
BESIDE = 3  # charts in a row
WIDTH, HEIGHT = 300, 216  # pixels of a chart
TOP = 40  # pixels of the legend above them
LOOKS = {"base": ("untouched base", SQUARE), "gecko": ("Gecko", CIRCLE)}


def task_charts(scores: Sequence[dict[str, Any]]) -> list[Chart]:
    """A chart for each type and one for the mean over types, each with a scale of its own."""
    means = type_means(scores)
    dims = sorted({dim for _, dim in means})
    charts = []
    for kind in next(iter(means.values()), {}):
        lines = {role: [(dim, of[kind]) for (who, dim), of in sorted(means.items()) if who == role] for role in LOOKS}
        values = [value for line in lines.values() for _, value in line]
        ticks = round_ticks(min(values), max(values))
        chart = Chart(("dimensions", kind), (dims[0], dims[-1]), ticks, list(dims), WIDTH, HEIGHT, 20, log=True)
        said = []
        for role, line in lines.items():
            name, mark = LOOKS[role]
            said.append(f"{name} " + ", ".join(f"{value:.1f} at {dim}" for dim, value in line))
            chart.line(role, line, "", [f"{name} at {dim}: {value:.2f}" for dim, value in line], mark)
        chart.text = f"{kind}, points by dimension: {'; '.join(said)}."
        charts.append(chart)
    return charts


def draw_tasks(scores: Sequence[dict[str, Any]], path: Path) -> list[Chart]:
    """Write the charts as one SVG that follows the reader's light or dark scheme; nothing where there are no scores.

    Returns:
        The charts.
    """
    charts = task_charts(scores)
    if charts:
        rows = -(-len(charts) // BESIDE)
        values = {
            "placed": [(c, WIDTH * (i % BESIDE), TOP + HEIGHT * (i // BESIDE)) for i, c in enumerate(charts)],
            "looks": [(role, name, mark) for role, (name, mark) in LOOKS.items()],
            "width": WIDTH * BESIDE,
            "height": TOP + HEIGHT * rows + 8,
        }
        path.write_text(render("task_chart.svg.jinja", values), encoding="utf-8")
    return charts
