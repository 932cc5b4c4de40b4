"""The report page of a run: one HTML file with everything in it, and the chart of its scores as an SVG for the cards.

This module computes what the page says and where each line and bar stands; `report.html.jinja` and
`report_chart.svg.jinja` write it down, `report.js` draws the browser of FRet rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gecko_hf.hub.chart import CIRCLE, DIAMOND, SQUARE, Chart, render, round_ticks
from gecko_hf.hub.row_facts import RowFacts
from gecko_hf.hub.tables import COLUMNS
from gecko_hf.hub.task_chart import TASKS_CHART, draw_tasks
from gecko_hf.hub.task_scores import task_lines

SHOWN_CHARS = 1200  # of a passage in the row browser; thousands of whole ones would make a page that opens slowly
BINS = 28  # of a histogram
CURVE_POINTS = 300  # of a loss curve; a longer one is averaged down
NAMES = {"gecko": "Gecko", "prefinetuned": "pre-finetuned", "base": "untouched base", "bm25": "BM25"}  # by role
MARKS = {"gecko": CIRCLE, "prefinetuned": DIAMOND}
SIDES = {"positive": "positives", "negative": "hard negatives"}

Summary = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def write_report(
    summary: Summary,
    curves: Mapping[str, Rows],
    rows: RowFacts,
    passages: Mapping[str, Mapping[str, str]],
    folder: Path,
) -> Path:
    """Write `report.html`, which loads nothing from anywhere, `scores.svg` beside it, and `tasks.svg` where there are tasks.

    Args:
        summary: The numbers of the run.
        curves: The loss of each training stage, by step.
        rows: FRet's rows with their labels.
        passages: Title and text of every passage that a shown row names.
        folder: Where to write; made if it is not there.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw_scores(summary, folder / "scores.svg")
    task_charts = draw_tasks(summary["task_scores"], folder / TASKS_CHART)
    values = {
        "summary": summary,
        "headline": headline(summary),
        "findings": findings(summary),
        "score_charts": {"wide": score_chart(summary, 620, 500), "narrow": score_chart(summary, 380, 320)},
        "score_groups": _score_groups(summary),
        "columns": COLUMNS,
        "task_lines": task_lines(dict(summary)),
        "task_charts": task_charts,
        "loss_charts": {stage: loss_chart(curve) for stage, curve in curves.items()},
        "label_charts": {measure: label_chart(rows, measure) for measure in ("ql", "rc")},
        "ranks": {key: _rank_shares(counts) for key, counts in rows.ranks.items()},
        "recipe": yaml.safe_dump(summary["recipe"], sort_keys=False, allow_unicode=True).strip(),
        "finished": datetime.fromisoformat(summary["finished_at"]),
        "data": {
            "rows": [_finite(row) for row in rows.shown],
            "passages": {key: _shorten(p) for key, p in passages.items()},
        },
        "shown_rows": len(rows.shown) if len(rows.shown) < rows.total else None,
        "shown_chars": SHOWN_CHARS,
    }
    path = folder / "report.html"
    # `replace`: text with half a surrogate pair, which an LLM can write, has no UTF-8.
    path.write_text(render("report.html.jinja", values), encoding="utf-8", errors="replace")
    return path


def draw_scores(summary: Summary, path: Path) -> None:
    """Write the chart of scores by dimension as an SVG that follows the reader's light or dark scheme."""
    svg = render("report_chart.svg.jinja", {"chart": score_chart(summary, 720, 400), "standalone": True})
    path.write_text(svg, encoding="utf-8", errors="replace")


def headline(summary: Summary) -> str:
    """How the finished model does against the untouched base in one sentence, which says so where it lost."""
    metric, scores = _main_scores(summary)
    dim = max((dim for role, dim in scores if role == "gecko"), default=None)
    if dim is None:
        return "The finished model was not scored"
    own, base = scores["gecko", dim], scores.get(("base", dim))
    if base is None:
        return f"{metric} {own:.3f} at {dim} dimensions; the untouched base model was not scored there"
    points = round(100 * (own - base), 1)
    against = f"+{points:.1f} points over" if points > 0 else _against(own, base)
    return f"{metric} {own:.3f}, {against} the untouched base model at {dim} dimensions"


def findings(summary: Summary) -> list[str]:
    """Sentences under the headline: the yardstick, the narrowest width, what FRet did, and BM25 where it wins."""
    _, scores = _main_scores(summary)
    yardstick = summary["yardstick"]
    kind = "human-written" if yardstick["kind"] == "human" else yardstick["kind"]
    said = [f"Measured with {yardstick['queries']:,} {kind} queries over {yardstick['passages']:,} passages."]
    own = {dim: value for (role, dim), value in scores.items() if role == "gecko"}
    if not own:
        return said
    low, high = min(own), max(own)
    if low < high and own[high] > 0:
        text = f"Cut to {low} dimensions, it keeps {100 * own[low] / own[high]:.0f} % of that"
        if ("base", low) in scores:
            text += f" and is {_against(own[low], scores['base', low])} the untouched model cut to the same width"
        said.append(f"{text}.")
    if ("prefinetuned", high) in scores:
        change = _against(own[high], scores["prefinetuned", high])
        said.append(f"After fine-tuning it is {change} the model that was only pre-finetuned.")
    if ("bm25", 0) in scores and scores["bm25", 0] >= own[high]:
        said.append(f"BM25, which needs no training, reaches {scores['bm25', 0]:.3f}.")
    return said


def _against(value: float, other: float) -> str:
    points = round(100 * (value - other), 1)
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'}" if points else "level with"


def _main_scores(summary: Summary) -> tuple[str, dict[tuple[str, int], float]]:
    """Name of the main metric, and its value by role and dimension (0 for BM25, which has none)."""
    key: str = summary["main_metric"]
    return str(dict(COLUMNS).get(key, key)), {(s["role"], s["dim"] or 0): s[key] for s in summary["scores"]}


def _score_groups(summary: Summary) -> list[dict[str, Any]]:
    """The table of scores, model by model: cells as (text, is the best), and points gained over the base."""
    main, order = summary["main_metric"], list(NAMES)
    scores = sorted(summary["scores"], key=lambda s: order.index(s["role"]))
    base = {s["dim"]: s[main] for s in scores if s["role"] == "base"}
    best = {key: max((f"{s[key]:.3f}" for s in scores), default="") for key, _ in COLUMNS}
    groups = []
    for (model, role), found in groupby(scores, lambda s: (s["model"], s["role"])):
        lines = []
        for s in found:
            gain = 100 * (s[main] - base[s["dim"]]) if role != "base" and s["dim"] in base else None
            cells = [(f"{s[key]:.3f}", f"{s[key]:.3f}" == best[key]) for key, _ in COLUMNS]
            lines.append({"dim": s["dim"], "cells": cells, "gain": gain})
        groups.append({"model": model, "role": role, "lines": lines})
    return groups


def score_chart(summary: Summary, width: int, height: int) -> Chart:
    """Main metric by dimension: a line for each dense model, a level for BM25."""
    metric, scores = _main_scores(summary)
    dims = sorted({dim for _, dim in scores if dim}) or [1]
    span, ticks = (dims[0], dims[-1]), round_ticks(min(scores.values(), default=0), max(scores.values(), default=1))
    chart = Chart(("dimensions (log scale)", metric), span, ticks, list(dims), width, height, 128, log=True)
    said = []
    for role, name in NAMES.items():
        values = sorted((dim, value) for (of, dim), value in scores.items() if of == role)
        if not values:
            continue
        said.append(f"{name} " + ", ".join(f"{value:.3f}" + (f" at {dim}" if dim else "") for dim, value in values))
        if role == "bm25":
            chart.line(role, [(dim, values[0][1]) for dim in span], name)
        else:
            chart.line(
                role, values, name, [f"{name} at {dim}: {value:.3f}" for dim, value in values], MARKS.get(role, SQUARE)
            )
    chart.text = f"{metric} by dimension: {'; '.join(said)}."
    chart.lines.sort(key=lambda line: float(line["name_y"]))
    for above, line in pairwise(chart.lines):  # names must not cover each other
        line["name_y"] = max(line["name_y"], above["name_y"] + 18)
    return chart


def loss_chart(curve: Rows) -> Chart | None:
    """Loss by step: every step faint, their running mean strong."""
    points = np.array([(p["step"], p["loss"]) for p in curve if math.isfinite(p["loss"])])
    if not len(points):
        return None
    points = np.array([part.mean(axis=0) for part in np.array_split(points, min(len(points), CURVE_POINTS))])
    half = len(points) // 24 + 1
    mean = [points[max(0, i - half) : i + half + 1, 1].mean() for i in range(len(points))]
    last = curve[-1]["step"]
    ticks = round_ticks(points[:, 1].min(), points[:, 1].max())
    chart = Chart(("step", "loss"), (0, last), ticks, [t for t in round_ticks(0, last) if t <= last])
    chart.text = f"Mean loss {mean[0]:.2f} at the start, {mean[-1]:.2f} after {last:,} steps."
    chart.line("faint", points.tolist())
    chart.line("gecko", list(zip(points[:, 0], mean, strict=True)))
    return chart


def label_chart(rows: RowFacts, measure: str) -> Chart | None:
    """Histograms of a score, `ql` or `rc`, over the positives and over the hard negatives, with their medians.

    The outermost bins hold what lies beyond the 0.5th and 99.5th percentile.
    """
    found = {side: np.array(rows.scores[f"{measure}_{side}"]) for side in SIDES}
    scores = {side: of for side, of in found.items() if len(of)}
    if not scores:
        return None
    low, high = (float(v) for v in np.percentile(np.concatenate(list(scores.values())), (0.5, 99.5)))
    low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
    edges = np.linspace(low, high, BINS + 1)
    shares = {side: 100 * np.histogram(of.clip(low, high), edges)[0] / len(of) for side, of in scores.items()}
    ticks = round_ticks(0, max(of.max() for of in shares.values()))
    chart = Chart((measure.upper(), "%"), (low, high), ticks, [t for t in round_ticks(low, high) if low <= t <= high])
    said = []
    for side, of in shares.items():
        median = float(np.median(scores[side]))
        said.append(f"{median:.2f} for {SIDES[side]}".replace("-", "−"))
        steps = [(edge, value) for i, value in enumerate(of) for edge in edges[i : i + 2]]
        chart.line(side, [(low, 0), *steps, (high, 0)])
        chart.line(f"{side} median", [(np.clip(median, low, high), share) for share in (0, ticks[-1])])
    chart.text = f"Median {', '.join(said)}."
    return chart


def _rank_shares(counts: Counter[int | None]) -> list[tuple[str, int, float]]:
    """How many rows have each rank: (rank, rows, share). `none` is a seed that the retriever did not find."""
    ranks = range(1, max((rank for rank in counts if rank is not None), default=0) + 1)
    found = [(str(rank), counts[rank]) for rank in ranks] + ([("none", counts[None])] if counts[None] else [])
    return [(rank, count, count / counts.total()) for rank, count in found]


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity, which a log-likelihood can be."""
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}


def _shorten(passage: Mapping[str, str]) -> dict[str, str]:
    text = passage["text"]
    return {"title": passage["title"], "text": text[:SHOWN_CHARS] + ("…" if len(text) > SHOWN_CHARS else "")}
