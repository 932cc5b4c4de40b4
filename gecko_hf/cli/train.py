"""`gecko-hf prefinetune`, `gecko-hf finetune` and `gecko-hf train plan`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gecko_hf.cli.app import RecipeArgument, Redo, app, console, quiet_libraries, say

train = typer.Typer(no_args_is_help=True, help="Training, before it runs.")
app.add_typer(train, name="train")

Overrides = Annotated[list[str] | None, typer.Argument(help="Values to change: finetune.batch_size=256")]


@app.command()
def prefinetune(recipe: RecipeArgument, overrides: Overrides = None, redo: Redo = False) -> None:
    """Train the base on text pairs, alone or under accelerate launch."""
    _stage("prefinetune", recipe, overrides, redo)


@app.command()
def finetune(recipe: RecipeArgument, overrides: Overrides = None, redo: Redo = False) -> None:
    """Train the pre-finetuned encoder on FRet or a mixture, alone or under accelerate launch."""
    _stage("finetune", recipe, overrides, redo)


@train.command()
def plan(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    gpu: Annotated[str, typer.Option(help="A100-40GB, A100-80GB, H100, H200, L4 or RTX-4090.")] = "H100",
    gpus: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    mfu: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of their peak that is reached.")] = 0.35,
    query_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a query, prompt included.")] = 32,
    passage_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a document.")] = 256,
    parameters: Annotated[
        float | None, typer.Option(min=0, help="Millions of weights, where the base is out of reach.")
    ] = None,
    embeddings: Annotated[float, typer.Option(min=0, help="Millions of them in embeddings.")] = 0.0,
    layers: Annotated[int | None, typer.Option(min=1, help="Layers, likewise.")] = None,
    hidden: Annotated[int | None, typer.Option(min=1, help="Width of a layer, likewise.")] = None,
) -> None:
    """Compute what a recipe's training takes: steps, negatives, tokens, hours, memory. Nothing is trained."""
    from gecko_hf.recipe import load_recipe

    settings = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from gecko_hf.errors import RecipeError
    from gecko_hf.training.plan import GPUS, Hardware, Shape, embedding_seconds, plan_table, plan_training, shape_of

    if gpu not in GPUS:
        raise RecipeError(f"--gpu {gpu} is not known. Known: {', '.join(GPUS)}.")
    given = {"--parameters": parameters, "--layers": layers, "--hidden": hidden}
    missing = [name for name, value in given.items() if not value]
    if 0 < len(missing) < len(given):
        raise RecipeError(f"The size of a base is --parameters, --layers and --hidden. Missing: {', '.join(missing)}.")
    if embeddings and embeddings >= (parameters or 0):
        raise RecipeError(
            f"--embeddings {embeddings:g} is a part of --parameters, which is {parameters or 'not given'}."
        )
    if parameters and layers and hidden:
        shape = Shape(round(1e6 * parameters), round(1e6 * (parameters - embeddings)), layers, hidden)
    else:
        shape = shape_of(settings.encoder.base, settings.encoder.revision)
    hardware = Hardware(gpu, gpus, mfu)
    stages = plan_training(settings, shape, hardware, query_tokens=query_tokens, passage_tokens=passage_tokens)
    console.print(plan_table(stages, shape, hardware))
    hours = embedding_seconds(shape, hardware, 1e6 * passage_tokens) / 3600
    console.print(f"Embedding a million documents of {passage_tokens} tokens: {hours:.4f} hours.", highlight=False)


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
        say(f"Model    {folder / ('prefinetuned' if name == 'prefinetune' else 'model')}")
