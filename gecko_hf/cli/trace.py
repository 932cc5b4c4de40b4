"""`gecko-hf trace`."""

from __future__ import annotations

from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries
from gecko_hf.errors import HubError

STATES = {True: "[green]holds    [/green]", False: "[bold red]broken   [/bold red]", None: "[dim]on record[/dim]"}


@app.command()
def trace(
    model: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A model that `gecko-hf push model` pushed.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; `main` by default.")] = None,
    rows: Annotated[
        bool | None, typer.Option("--rows/--no-rows", help="Check the data set's rows; by default up to 1 GB.")
    ] = None,
) -> None:
    """Follow a model back to its data set, corpus, language model and prompts, and check every link."""
    quiet_libraries()
    from huggingface_hub import HfApi

    from gecko_hf.hub.trace import Trace

    found = Trace(HfApi(), model, revision, rows)
    for link in found.links:  # lines, not a table: a commit id that is folded cannot be copied
        console.print(f"{STATES[link.ok]} {link.name:<14} ", end="")
        console.print(f"{link.what}: {link.says}", highlight=False, markup=False, soft_wrap=True)
    if found.broken:
        names = ", ".join(link.name for link in found.broken)
        raise HubError(f"{len(found.broken)} of {len(found.links)} links of {model} do not hold: {names}.")
