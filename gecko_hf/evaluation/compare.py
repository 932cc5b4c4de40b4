"""Models against each other on the same tasks: scores, differences, and how sure a difference is.

A difference on a task with queries gets a 95 % interval from a paired bootstrap over the queries that both models answered
(scipy, percentile method). An interval that holds 0 says that these queries do not tell the two apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
from rich.table import Table
from scipy.stats import bootstrap

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.results import TaskScore

RESAMPLES = 2000
BATCH = 50  # resamples held in memory at once


@dataclass(frozen=True)
class Contender:
    """A model at a width with its scores by task."""

    label: str
    scores: Mapping[str, TaskScore]


@dataclass(frozen=True)
class Difference:
    """One task: the first model's score, the other's, and the other's minus the first's, in points (0 to 100).

    Attributes:
        interval: 95 % bootstrap interval of the difference; None where the task has no queries on record.
        queries: How many queries it rests on.
    """

    task: str
    type: str
    metric: str
    first: float
    other: float
    interval: tuple[float, float] | None
    queries: int

    @property
    def points(self) -> float:
        """How much better the other model is."""
        return self.other - self.first


def find_contender(spec: str, scores: Sequence[TaskScore]) -> Contender:
    """The scores that `NAME[@REVISION][:DIM]` means; the widest width by default.

    Raises:
        EvaluationError: If nothing or more than one revision fits.
    """
    rest, _, dim = spec.partition(":")
    name, _, revision = rest.partition("@")
    found = [s for s in scores if s.model == name or s.model.split("/")[-1] == name]
    found = [s for s in found if s.revision.startswith(revision)]
    if not found:
        known = ", ".join(sorted({f"{s.model}@{s.revision[:8]}:{s.dim}" for s in scores}))
        raise EvaluationError(f"There are no results of {spec!r}. There are: {known}.")
    which = sorted({(s.model, s.revision) for s in found})
    if len(which) > 1:
        choices = ", ".join(f"{model}@{rev[:8]}" for model, rev in which)
        raise EvaluationError(f"{spec!r} may be {choices}. Say which: NAME@REVISION")
    widths = {s.dim for s in found if s.dim}
    if dim and not dim.isdigit():
        raise EvaluationError(f"{spec!r}: the width is {dim!r}; give a number after the colon, as in {name}:256.")
    width = int(dim) if dim else max(widths, default=0)
    there = [s for s in found if s.dim == width or not widths]
    parts = {part for s in there for part in s.record.get("parts", [])}  # an aggregate stands for them
    chosen = {s.task: s for s in there if s.task not in parts}
    if not chosen:
        raise EvaluationError(f"{name} was measured at {', '.join(map(str, sorted(widths)))}, not at {dim}.")
    label = which[0][0].removeprefix("local/") + (f"@{revision}" if revision else "")
    return Contender(f"{label}:{width}", chosen)


def common_tasks(contenders: Sequence[Contender], only: Sequence[str] = ()) -> list[str]:
    """The tasks that all were measured on.

    Args:
        contenders: The models.
        only: Names of tasks; all by default.

    Raises:
        EvaluationError: If there is none, or a name is of no task that any of them was measured on.
    """
    measured = {task for contender in contenders for task in contender.scores}
    unknown = [task for task in only if task not in measured]
    if unknown:
        raise EvaluationError(f"No result of {', '.join(unknown)}. There are: {', '.join(sorted(measured))}.")
    shared = [t for t in contenders[0].scores if all(t in c.scores for c in contenders) and (not only or t in only)]
    if not shared:
        had = "; ".join(f"{c.label} on {', '.join(sorted(c.scores))}" for c in contenders)
        raise EvaluationError(f"No task was measured on all of these models: {had}.")
    return shared


def compare(first: Contender, other: Contender, tasks: Sequence[str] = (), seed: int = 0) -> list[Difference]:
    """The tasks that both were measured on.

    Args:
        first: What is compared with.
        other: What is compared.
        tasks: Only these; all by default.
        seed: Of the bootstrap.

    Raises:
        EvaluationError: If there is no common task, or a task was measured with different data, splits or subsets.
    """
    rows = []
    for task in common_tasks([first, other], tasks):
        a, b = first.scores[task], other.scores[task]
        if a.data != b.data:
            raise EvaluationError(
                f"{task} was measured on different data ({a.data} and {b.data}). Measure one of the two again."
            )
        if a.splits != b.splits:
            raise EvaluationError(
                f"{task} was measured on {a.splits} of {first.label} and on {b.splits} of {other.label}, so the scores are of "
                "different texts. Measure one of the two again by the same --tasks, --benchmark or --paper."
            )
        interval, queries = _interval(a.queries, b.queries, seed)
        rows.append(Difference(task, a.type, a.metric, 100 * a.value, 100 * b.value, interval, queries))
    return rows


def _interval(a: Mapping[str, float], b: Mapping[str, float], seed: int) -> tuple[tuple[float, float] | None, int]:
    """The bootstrap interval of the mean difference over common queries, in points.

    A score is the mean over splits and subsets (`split/subset/query`), whatever their sizes, so each is drawn from by itself.
    """
    common = sorted(a.keys() & b.keys())
    parts: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for query in common:
        parts[tuple(query.split("/", 2)[:-1])].append(100 * (b[query] - a[query]))
    if min(map(len, parts.values()), default=0) < 2:
        return None, len(common)
    samples = [np.array(differences) for differences in parts.values()]
    if not any(np.ptp(sample) for sample in samples):  # scipy has no interval for a constant
        constant = fmean(float(sample[0]) for sample in samples)
        return (constant, constant), len(common)
    found = bootstrap(
        samples,
        _mean_of_means,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=BATCH,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return (float(found.low), float(found.high)), len(common)


def _mean_of_means(*samples: npt.NDArray[np.float64], axis: int = -1) -> npt.NDArray[np.float64]:
    return np.asarray(np.mean([np.mean(sample, axis=axis) for sample in samples], axis=0))


def type_means(rows: Sequence[Difference]) -> list[tuple[str, int, float, float]]:
    """Type, number of tasks, and both models' means, for every type and for all tasks together."""
    kinds = [(kind, [r for r in rows if r.type == kind]) for kind in dict.fromkeys(r.type for r in rows)]
    kinds += [("all", list(rows))]
    return [(kind, len(part), fmean(r.first for r in part), fmean(r.other for r in part)) for kind, part in kinds]


def comparison_lines(rows: Sequence[Difference]) -> list[tuple[str, ...]]:
    """The comparison as text: a line a task, then a line a type."""
    lines: list[tuple[str, ...]] = [
        (r.task, r.metric, f"{r.first:.2f}", f"{r.other:.2f}", f"{r.points:+.2f}", _interval_text(r)) for r in rows
    ]
    lines += [
        (f"mean {kind} ({count})", "", f"{a:.2f}", f"{b:.2f}", f"{b - a:+.2f}", "")
        for kind, count, a, b in type_means(rows)
    ]
    return lines


def _interval_text(row: Difference) -> str:
    if row.interval is None:
        return ""
    return f"{row.interval[0]:+.2f} to {row.interval[1]:+.2f} ({row.queries:,} queries)"


HEAD = ("task", "metric", "{first}", "{other}", "difference", "95 % interval")


def comparison_table(first: Contender, other: Contender, rows: Sequence[Difference]) -> Table:
    """The comparison for the terminal."""
    table = Table(title=f"{other.label} against {first.label}", title_justify="left")
    for column in HEAD:
        justify = "left" if column in ("task", "metric") else "right"
        table.add_column(column.format(first=first.label, other=other.label), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for line in comparison_lines(rows):
        table.add_row(*line)
    return table


def comparison_markdown(first: Contender, other: Contender, rows: Sequence[Difference]) -> str:
    """The comparison as a Markdown table."""
    head = [column.format(first=first.label, other=other.label) for column in HEAD]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---:|---:|---:|---:|"]
    return "\n".join([*lines, *("| " + " | ".join(line) + " |" for line in comparison_lines(rows)), ""])
