"""`gecko-hf fret ...`: commands about FRet alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries

fret = typer.Typer(name="fret", help="FRet alone: other labels without an LLM call.", no_args_is_help=True)
app.add_typer(fret)


@fret.command()
def relabel(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder whose fret stage is done.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Label choices: positive=ql negative=random negative_margin=0.95")
    ] = None,
) -> None:
    """Choose other positives and negatives from the scores that `labels` keeps. No LLM call is made."""
    quiet_libraries()
    from gecko_hf.relabel import relabel_run

    relabel_run(folder, overrides or [], console)
