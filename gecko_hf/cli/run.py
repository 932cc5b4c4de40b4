"""`gecko-hf run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, or a folder with a recipe.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Values to change: corpus.path=docs/ output=runs/mine seed=1")
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Use a run folder whose recipe differs; what differs runs again.")
    ] = False,
) -> None:
    """Run a recipe from text to report. What is done is skipped, so the same command goes on after a stop."""
    from gecko_hf.recipe import load_recipe

    settings = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from gecko_hf import pipeline
    from gecko_hf.hub.tables import result_table

    folder = pipeline.run(settings, console, redo=redo)
    console.print(result_table(folder))
    console.print(f"\nReport   {folder / 'report' / 'report.html'}", highlight=False, soft_wrap=True)
    console.print(f'Model    SentenceTransformer("{folder / "model"}")', highlight=False, soft_wrap=True)
    console.print(f'FRet     load_dataset("{folder / "fret"}")', highlight=False, soft_wrap=True)
    console.print(f'Search   gecko-hf search {folder} "..."', highlight=False, soft_wrap=True)
