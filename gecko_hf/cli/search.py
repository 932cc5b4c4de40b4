"""`gecko-hf search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries


@app.command()
def search(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, for example runs/quickstart.")],
    query: Annotated[str, typer.Argument(help="What to look for.")],
    top: Annotated[int, typer.Option(min=1, max=50, help="How many passages to show.")] = 5,
    dim: Annotated[
        int | None, typer.Option(min=1, help="Matryoshka width to search with; the widest by default.")
    ] = None,
) -> None:
    """Search a run's corpus with the untouched base and with Gecko, side by side."""
    quiet_libraries()
    from gecko_hf.search import search_table

    console.print(search_table(folder, query, top, dim))
