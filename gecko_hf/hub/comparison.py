"""The picture of `gecko-hf compare`: scores by width, by size and by speed, as one SVG that needs nothing else to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from gecko_hf.evaluation.compare import Contender, common_tasks
from gecko_hf.evaluation.results import TaskScore
from gecko_hf.hub.chart import CIRCLE, DIAMOND, SQUARE, TRIANGLE, Chart, log_scale, render, round_ticks

WIDTH = 600  # pixels: of the picture,
TALL, LOW = 280, 250  # of its upper and its lower charts,
ROW = 20  # of a line of the legend
APART = 36  # pixels between the labels of two widths
MARKS = (CIRCLE, SQUARE, DIAMOND, TRIANGLE)
COLOURS = ("#00745a", "#bf4b07", "#3f6ec2", "#9c2f78", "#8a6a00", "#1b2320", "#6d6a64")  # with the marks: 28 looks

DIMENSIONS = "dimensions"

Points = dict[int, list[tuple[float, float, str]]]  # model -> x, mean score (0 to 100), what stands there


def plot_comparison(
    contenders: Sequence[Contender], scores: Sequence[TaskScore], only: Sequence[str], path: Path
) -> list[str]:
    """Draw the mean score over the tasks that all contenders were measured on.

    It stands over the width, at every width of their models, and over size and speed at the widths that are compared.

    Args:
        contenders: The models, each at a width.
        scores: Every result: the other widths of the models are taken from there.
        only: Names of tasks; all by default.
        path: Where to write; it must end in `.svg`.

    Returns:
        Sentences on what is missing in the picture.

    Raises:
        EvaluationError: If no task was measured on all contenders.
    """
    tasks = common_tasks(contenders, only)
    models = list(dict.fromkeys(_model(c) for c in contenders))
    by_width, notes = _by_width(models, scores, {task: contenders[0].scores[task] for task in tasks})
    speeds, where, more = _speeds(contenders, tasks)
    by_size = _by_value(contenders, models, tasks, [_millions(c, tasks) for c in contenders], "M parameters")
    by_speed = _by_value(contenders, models, tasks, speeds, "texts/s")
    heights = [_mean(c, tasks) for c in contenders] + [y for of in by_width.values() for _, y, _ in of]
    y_ticks = round_ticks(min(heights), max(heights))
    lower = [(of, label) for of, label in ((by_size, "parameters (millions)"), (by_speed, "speed (texts/s)")) if of]
    charts, y = [], 46 + ROW * len(models)
    if by_width:
        charts.append((_chart(by_width, DIMENSIONS, y_ticks, WIDTH, TALL), 0, y))
        y += TALL + 14
    for i, (points, label) in enumerate(lower):
        width = WIDTH // len(lower)
        charts.append((_chart(points, label, y_ticks, width, LOW), i * width, y))
    first = contenders[0].scores[tasks[0]]
    values = {
        "title": f"Mean main score of {len(tasks)} tasks" if len(tasks) > 1 else f"{first.task}, {first.metric}",
        "description": f"Tasks: {', '.join(tasks)}. {' '.join(notes + more)}",
        "models": [_look(i) | {"name": _name(model, contenders)} for i, model in enumerate(models)],
        "charts": charts,
        "note": f"Speed on {where}" if by_speed else "",
        "width": WIDTH,
        "height": y + (LOW if lower else 0) + (32 if by_speed else 6),
    }
    path.write_text(render("comparison.svg.jinja", values), encoding="utf-8")
    return notes + more


def _model(contender: Contender) -> tuple[str, str]:
    first = next(iter(contender.scores.values()))
    return first.model, first.revision


def _name(model: tuple[str, str], contenders: Sequence[Contender]) -> str:
    """A model in the legend: every width at which it is compared."""
    return ", ".join(dict.fromkeys(c.label for c in contenders if _model(c) == model))


def _look(i: int) -> dict[str, Any]:
    return {"css": f"m{i}", "colour": COLOURS[i % len(COLOURS)], "mark": MARKS[i % len(MARKS)]}


def _mean(contender: Contender, tasks: Sequence[str]) -> float:
    return 100 * fmean(contender.scores[task].value for task in tasks)


def _by_width(
    models: Sequence[tuple[str, str]], scores: Sequence[TaskScore], tasks: Mapping[str, TaskScore]
) -> tuple[Points, list[str]]:
    """Every width at which a model was measured on all the tasks as they are compared, and a sentence on each other one."""
    points: Points = {}
    notes = []
    as_compared = {task: (score.data, score.splits) for task, score in tasks.items()}
    for i, model in enumerate(models):
        found = [s for s in scores if (s.model, s.revision) == model and s.task in tasks and s.dim]
        for dim in sorted({s.dim or 0 for s in found}):
            values = [100 * s.value for s in found if s.dim == dim and (s.data, s.splits) == as_compared[s.task]]
            if len(values) == len(tasks):
                mean = fmean(values)
                points.setdefault(i, []).append((dim, mean, f"{model[0]} at {dim}: {mean:.2f}"))
            else:
                notes.append(
                    f"{model[0]} at {dim} is left out: {len(values)} of {len(tasks)} tasks are measured there on "
                    "the data that is compared."
                )
    return points, notes


def _by_value(
    contenders: Sequence[Contender],
    models: Sequence[tuple[str, str]],
    tasks: Sequence[str],
    values: Sequence[float | None],
    unit: str,
) -> Points:
    """The score of each contender over a value that some have."""
    points: Points = {}
    for contender, value in zip(contenders, values, strict=True):
        if value:
            mean = _mean(contender, tasks)
            tip = f"{contender.label}: {mean:.2f}, {value:,.1f} {unit}"
            points.setdefault(models.index(_model(contender)), []).append((value, mean, tip))
    return points


def _millions(contender: Contender, tasks: Sequence[str]) -> float | None:
    parameters = contender.scores[tasks[0]].record.get("parameters")
    return parameters / 1e6 if parameters else None


def _speeds(contenders: Sequence[Contender], tasks: Sequence[str]) -> tuple[list[float | None], str, list[str]]:
    """Texts a second over the tasks that have it on record for all, the machine, and why there may be none."""
    nothing: list[float | None] = [None] * len(contenders)
    timed = [t for t in tasks if all(c.scores[t].record.get("texts_per_second") for c in contenders)]
    if not timed:
        return nothing, "", ["Speed is left out: no task has it on record for all models."]
    records = [[c.scores[task].record for task in timed] for c in contenders]
    where = sorted({f"{r['environment']['machine']}; {r['device']}" for of in records for r in of})
    if len(where) > 1:
        return nothing, "", [f"Speed is left out: it was measured on different machines ({' / '.join(where)})."]
    texts = [sum(r["texts"] for r in of) for of in records]
    seconds = [sum(r["texts"] / r["texts_per_second"] for r in of) for of in records]
    return [t / s for t, s in zip(texts, seconds, strict=True)], where[0], []


def _chart(points: Points, label: str, y_ticks: list[float], width: int, height: int) -> Chart:
    """One chart over a log scale; over dimensions, the ticks are the widths that were measured, as many as have room."""
    found = sorted({x for of in points.values() for x, _, _ in of})
    span, x_ticks = ((found[0], found[-1]), found) if label == DIMENSIONS else log_scale(found[0], found[-1])
    labels = (f"{label}, log scale", "score (0 to 100)")
    chart = Chart(labels, span, y_ticks, [], width, height, right_margin=26, log=True, text=f"Score by {label}")
    for tick in reversed(x_ticks):
        if not chart.x_ticks or chart.x(chart.x_ticks[0]) - chart.x(tick) >= APART:
            chart.x_ticks.insert(0, tick)
    for i, of in points.items():
        look = _look(i)
        chart.line(look["css"], [(x, y) for x, y, _ in of], "", [tip for _, _, tip in of], look["mark"])
    return chart
