"""The report page of a run: one HTML file with everything in it, and the chart of its scores as an SVG for the cards.

This module computes what the page says and where each line and bar stands; `report.html.jinja` and
`report_chart.svg.jinja` write it down, `report.js` draws the browser of FRet rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from gecko_hf.hub.tables import COLUMNS

SHOWN_CHARS = 1200  # of a passage in the row browser; thousands of whole ones would make a page that opens slowly
BINS = 28  # of a histogram
CURVE_POINTS = 300  # of a loss curve; a longer one is averaged down
NAMES = {"gecko": "Gecko", "prefinetuned": "pre-finetuned", "base": "untouched base", "bm25": "BM25"}  # by role
SIDES = {"positive": "positives", "negative": "hard negatives"}

Summary = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def write_report(
    summary: Summary,
    curves: Mapping[str, Rows],
    rows: Rows,
    passages: Mapping[str, Mapping[str, str]],
    folder: Path,
) -> Path:
    """Write `report.html`, which loads nothing from anywhere, and `scores.svg` beside it.

    Args:
        summary: The numbers of the run.
        curves: The loss of each training stage, by step.
        rows: FRet's rows with their labels.
        passages: Title and text of every passage that a row names.
        folder: Where to write; made if it is not there.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw_scores(summary, folder / "scores.svg")
    values = {
        "summary": summary,
        "headline": headline(summary),
        "findings": findings(summary),
        "score_charts": {"wide": score_chart(summary, 620, 420), "narrow": score_chart(summary, 380, 320)},
        "score_groups": _score_groups(summary),
        "columns": COLUMNS,
        "loss_charts": {stage: loss_chart(curve) for stage, curve in curves.items()},
        "label_charts": {measure: label_chart(rows, measure) for measure in ("ql", "rc")},
        "rank_charts": {key: rank_chart(rows, key) for key in ("seed_fused_rank", "positive_rank")},
        "recipe": yaml.safe_dump(summary["recipe"], sort_keys=False, allow_unicode=True).strip(),
        "data": {"rows": [_finite(row) for row in rows], "passages": _shorten(passages)},
        "shown_chars": SHOWN_CHARS,
    }
    path = folder / "report.html"
    # `replace`: text with half a surrogate pair, which an LLM can write, has no UTF-8.
    path.write_text(_render("report.html.jinja", values), encoding="utf-8", errors="replace")
    return path


def draw_scores(summary: Summary, path: Path) -> None:
    """Write the chart of scores by dimension as an SVG that follows the reader's light or dark scheme."""
    svg = _render("report_chart.svg.jinja", {"chart": score_chart(summary, 720, 400), "standalone": True})
    path.write_text(svg, encoding="utf-8", errors="replace")


def headline(summary: Summary) -> str:
    """How the finished model does against the untouched base in one sentence, which says so where it lost."""
    metric, scores = _main_scores(summary)
    dim = max((dim for role, dim in scores if role == "gecko"), default=None)
    if dim is None:
        return "The finished model was not scored"
    start = f"{metric} {scores['gecko', dim]:.3f}"
    if ("base", dim) not in scores:
        return f"{start} at {dim} dimensions; the untouched base model was not scored there"
    return f"{start}, {_against(scores['gecko', dim], scores['base', dim])} the untouched base model at {dim} dimensions"


def findings(summary: Summary) -> list[str]:
    """Sentences under the headline: the yardstick, the narrowest width, what FRet did, and BM25 where it wins."""
    metric, scores = _main_scores(summary)
    yardstick = summary["yardstick"]
    kind = "human-written" if yardstick["kind"] == "human" else yardstick["kind"]
    said = [f"Measured with {yardstick['queries']:,} {kind} queries over {yardstick['passages']:,} passages."]
    own = {dim: value for (role, dim), value in scores.items() if role == "gecko"}
    if not own:
        return said
    low, high = min(own), max(own)
    if low < high and own[high] > 0:
        text = f"Cut to {low} dimensions, it keeps {own[low] / own[high]:.0%} of that"
        if ("base", low) in scores:
            text += f" and is {_against(own[low], scores['base', low])} the untouched model cut to the same width"
        said.append(text + ".")
    if ("prefinetuned", high) in scores:
        before = _against(own[high], scores["prefinetuned", high])
        said.append(f"With the FRet stage it is {before} the model that was only pre-finetuned.")
    if ("bm25", 0) in scores and scores["bm25", 0] >= own[high]:
        said.append(f"BM25, which needs no training, reaches {scores['bm25', 0]:.3f}.")
    return said


def _against(value: float, other: float) -> str:
    points = round(100 * (value - other), 1)
    if not points:
        return "level with"
    return f"+{points:.1f} points over" if points > 0 else f"{-points:.1f} points below"


def _main_scores(summary: Summary) -> tuple[str, dict[tuple[str, int], float]]:
    """Name of the main metric, and its value by role and dimension (0 for BM25, which has none)."""
    key = summary["main_metric"]
    return dict(COLUMNS).get(key, key), {(s["role"], s["dim"] or 0): s[key] for s in summary["scores"]}


def _score_groups(summary: Summary) -> list[dict[str, Any]]:
    """The table of scores, model by model: cells as (text, is the best), and points gained over the base."""
    scores = summary["scores"]
    base = {s["dim"]: s[summary["main_metric"]] for s in scores if s["role"] == "base"}
    best = {key: max((f"{s[key]:.3f}" for s in scores), default="") for key, _ in COLUMNS}
    groups = []
    for (model, role), found in groupby(scores, lambda s: (s["model"], s["role"])):
        lines = []
        for s in found:
            cells = [(text := f"{s[key]:.3f}", text == best[key]) for key, _ in COLUMNS]
            compared = role != "base" and s["dim"] in base
            gain = 100 * (s[summary["main_metric"]] - base[s["dim"]]) if compared else None
            lines.append({"dim": s["dim"], "cells": cells, "gain": gain})
        groups.append({"model": model, "role": role, "lines": lines})
    return groups


@dataclass
class Chart:
    """A chart: two scales, and what is drawn on them in pixels. `text` says in words what it shows."""

    text: str
    labels: tuple[str, str]
    x_span: tuple[float, float]
    y_span: tuple[float, float]
    width: int = 420
    height: int = 250
    right_margin: int = 14
    log: bool = False
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    bars: list[dict[str, Any]] = field(default_factory=list)

    left, top, bottom = 50, 18, 46  # margins

    def x(self, value: float) -> float:
        """The pixel of a value on the x axis."""
        low, high = self.x_span
        if low >= high:
            return (self.left + self.width - self.right_margin) / 2
        share = math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        return round(self.left + share * (self.width - self.right_margin - self.left), 1)

    def y(self, value: float) -> float:
        """The pixel of a value on the y axis."""
        low, high = self.y_span
        return round(self.height - self.bottom - (value - low) / (high - low) * (self.height - self.bottom - self.top), 1)

    def line(self, css: str, values: Sequence[tuple[float, float]], name: str = "", tips: Sequence[str] = ()) -> None:
        """Draw a line through (x, y) values; with tips, each value is a marker that says one."""
        points = [(self.x(x), self.y(y)) for x, y in values]
        path = "M" + "L".join(f"{x} {y}" for x, y in points) if points else ""
        markers = [(*point, tip) for point, tip in zip(points, tips, strict=False)]
        self.lines.append({"css": css, "path": path, "markers": markers, "name": name, "name_y": points[-1][1]})

    def bar(self, span: tuple[float, float], value: float, tip: str, label: str = "") -> None:
        """Draw a bar over a span of the x axis."""
        left, right, top = self.x(span[0]), self.x(span[1]), self.y(value)
        height = self.height - self.bottom - top
        self.bars.append({"x": left, "y": top, "width": right - left, "height": height, "tip": tip, "label": label})
