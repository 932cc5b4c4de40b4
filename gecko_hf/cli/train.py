"""`gecko-hf prefinetune` and `gecko-hf finetune`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gecko_hf.cli.app import RecipeArgument, Redo, app, console, quiet_libraries

Overrides = Annotated[list[str] | None, typer.Argument(help="Values to change: finetune.batch_size=256")]


@app.command()
def prefinetune(recipe: RecipeArgument, overrides: Overrides = None, redo: Redo = False) -> None:
    """Train the base on text pairs, alone or under accelerate launch."""
    _stage("prefinetune", recipe, overrides, redo)


@app.command()
def finetune(recipe: RecipeArgument, overrides: Overrides = None, redo: Redo = False) -> None:
    """Train the pre-finetuned encoder on FRet or a mixture, alone or under accelerate launch."""
    _stage("finetune", recipe, overrides, redo)


def _stage(name: str, recipe: Path, overrides: list[str] | None, redo: bool) -> None:
    from gecko_hf.recipe import load_recipe

    settings = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from accelerate import PartialState

    from gecko_hf import pipeline

    first = os.environ.get("RANK", "0") == "0"
    folder = pipeline.run_stage(settings, name, console if first else Console(quiet=True), redo=redo)
    PartialState().destroy_process_group()  # torch warns of one that is left behind
    if first:
        console.print(f"Model    {folder / ('prefinetuned' if name == 'prefinetune' else 'model')}", highlight=False)
