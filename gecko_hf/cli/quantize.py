"""`gecko-hf quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries


@app.command()
def quantize(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder, for example runs/quickstart.")],
) -> None:
    """Measure what passages kept as int8 or as bits cost in score; the next card of the model shows it."""
    quiet_libraries()
    from rich.table import Table

    from gecko_hf.hub.push import open_finished
    from gecko_hf.hub.quantize import measure_quantized
    from gecko_hf.progress import View
    from gecko_hf.recipe import load_run_recipe

    run = open_finished(folder)
    view = View(console)
    yardstick = (run.summary["yardstick"]["name"], run.summary["yardstick"]["description"])
    with view.live(), view.task("embedding") as report:
        found = measure_quantized(load_run_recipe(folder), run.paths, yardstick, report)
    table = Table(title=f"{yardstick[0]} at {run.summary['dims'][0]} dimensions", title_justify="left")
    for column in ("precision of passages", "bytes a vector", "nDCG@10", "points lost"):
        table.add_column(column, justify="left" if column.startswith("precision") else "right")
    for row in found:
        table.add_row(row.precision, f"{row.bytes:,}", f"{row.score:.4f}", f"{row.lost:z.1f}")
    console.print(table)
