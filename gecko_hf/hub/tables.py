"""The scores of a run as tables: on the terminal and in the cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.table import Table

COLUMNS = (
    ("ndcg_at_10", "nDCG@10"),
    ("recall_at_10", "recall@10"),
    ("recall_at_100", "recall@100"),
    ("mrr_at_10", "MRR@10"),
)


def gain(summary: dict[str, Any], dim: int) -> float:
    """Points of the main metric (0 to 100) that the finished model has over the untouched base at a width."""
    found = {(s["role"], s["dim"]): s[summary["main_metric"]] for s in summary["scores"]}
    return 100 * float(found["gecko", dim] - found["base", dim])


def result_table(folder: Path) -> Table:
    """The scores of a finished run for the terminal."""
    summary = json.loads((folder / "report" / "summary.json").read_text(encoding="utf-8"))
    yardstick = summary["yardstick"]
    table = Table(
        title=f"{yardstick['name']}: {yardstick['queries']:,} {yardstick['kind']} test queries, "
        f"{yardstick['passages']:,} passages",
        title_justify="left",
        caption=_caption(summary),
        caption_justify="left",
    )
    table.add_column("model")
    table.add_column("dim", justify="right")
    for _, name in COLUMNS:
        table.add_column(name, justify="right")
    for row in summary["scores"]:
        table.add_row(row["model"], str(row["dim"] or ""), *(f"{row[key]:.3f}" for key, _ in COLUMNS))
    return table


def _caption(summary: dict[str, Any]) -> str:
    gains = ", ".join(f"{gain(summary, dim):+.1f} at {dim}" for dim in summary["dims"])
    return "\n".join([f"Gecko against the untouched base, nDCG@10 points: {gains}", *summary["notes"]])


def markdown_table(summary: dict[str, Any]) -> str:
    """The scores as a Markdown table for the model card."""
    lines = ["| model | dim | " + " | ".join(name for _, name in COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    lines += [
        f"| {row['model']} | {row['dim'] or ''} | " + " | ".join(f"{row[key]:.4f}" for key, _ in COLUMNS) + " |"
        for row in summary["scores"]
    ]
    return "\n".join(lines)
