"""Charts as SVG: two scales and the lines on them in pixels, and the templates that write them down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

CIRCLE = "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z"
DIAMOND = "M0-5.6 5.6 0 0 5.6-5.6 0Z"
SQUARE = "M-4.2-4.2H4.2V4.2H-4.2Z"
TRIANGLE = "M0-5.6 5.4 3.8H-5.4Z"


@dataclass
class Chart:
    """A chart: two scales, and the lines on them in pixels. `text` says in words what it shows."""

    labels: tuple[str, str]
    x_span: tuple[float, float]
    y_ticks: list[float]
    x_ticks: list[float]
    width: int = 520
    height: int = 270
    right_margin: int = 14
    log: bool = False
    text: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    left, top, bottom = 50, 20, 48  # margins

    def x(self, value: float) -> float:
        """The pixel of a value on the x axis."""
        low, high = self.x_span
        if low == high:
            return (self.left + self.width - self.right_margin) / 2
        share = math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        return round(self.left + share * (self.width - self.right_margin - self.left), 1)

    def y(self, value: float) -> float:
        """The pixel of a value on the y axis."""
        share = (value - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return round(self.height - self.bottom - share * (self.height - self.bottom - self.top), 1)

    def line(
        self,
        css: str,
        values: Sequence[tuple[float, float]],
        name: str = "",
        tips: Sequence[str] = (),
        mark: str = SQUARE,
    ) -> None:
        """Draw a line through (x, y) values; with tips, each value is a marker (an SVG path) that says one."""
        points = [(self.x(x), self.y(y)) for x, y in values]
        markers = [(*point, tip) for point, tip in zip(points, tips, strict=False)]
        path = "M" + "L".join(f"{x} {y}" for x, y in points)
        self.lines.append(
            {"css": css, "path": path, "markers": markers, "mark": mark, "name": name, "name_y": points[-1][1]}
        )


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers, about five, from at most `low` to at least `high`."""
    span = (high - low) or 0.1
    unit = 10.0 ** math.floor(math.log10(span / 5))
    step = next(unit * k for k in (1, 2, 5, 10) if span <= 5 * unit * k)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def log_scale(low: float, high: float) -> tuple[tuple[float, float], list[float]]:
    """Ends and ticks of a log scale that holds values from `low` to `high`, both above 0: two to five round numbers."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    steps = [10.0**power * step for power in powers for step in (1, 2, 5)]
    start = max(i for i, step in enumerate(steps) if step <= low)
    end = min(i for i, step in enumerate(steps) if step >= high and i > start)
    ticks = steps[start : end + 1]
    return (ticks[0], ticks[-1]), ticks if len(ticks) <= 5 else [t for t in ticks if math.log10(t).is_integer()]


def _tick_texts(ticks: Sequence[float]) -> list[tuple[float, str]]:
    """Each tick with its text, all with as many decimals as the one that needs most."""
    decimals = max((len(f"{tick:.6g}".partition(".")[2]) for tick in ticks), default=0)
    return [(tick, f"{tick:,.{decimals}f}".replace("-", "−")) for tick in ticks]


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a template of this folder; text is escaped."""
    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters["ticks"] = _tick_texts
    environment.globals["source"] = lambda name: Markup((here / name).read_text(encoding="utf-8"))
    return environment.get_template(template).render(values)
