"""`gecko-hf run`."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from gecko_hf.cli.app import RecipeArgument, Redo, app, console, quiet_libraries, say


@app.command()
def run(
    recipe: RecipeArgument,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Values to change: corpus.path=docs/ output=runs/mine seed=1")
    ] = None,
    redo: Redo = False,
) -> None:
    """Run a recipe from text to report. What is done is skipped, so the same command goes on after a stop."""
    from gecko_hf.recipe import load_recipe

    settings = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from gecko_hf import pipeline
    from gecko_hf.hub.tables import result_table
    from gecko_hf.hub.task_scores import task_table

    folder = pipeline.run(settings, console, redo=redo)
    console.print(result_table(folder))
    held_out = task_table(json.loads((folder / "report" / "summary.json").read_text(encoding="utf-8")))
    if held_out:
        console.print(held_out)
    say(f"\nReport   {folder / 'report' / 'report.html'}")
    say(f'Model    SentenceTransformer("{folder / "model"}")')
    say(f'FRet     load_dataset("{folder / "fret"}")')
    say(f'Search   gecko-hf search {shlex.quote(str(folder))} "..."')
