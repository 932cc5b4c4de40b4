"""The application that every command registers with, and what the commands share. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from gecko_hf import __version__

app = typer.Typer(
    name="gecko-hf",
    help="Make an embedding model the Gecko way: from text and an LLM to a model, its FRet data set and its scores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe file, or a folder with a recipe.yaml.")]
Redo = Annotated[bool, typer.Option("--redo", help="Use a run folder whose recipe differs; what differs runs again.")]
console = Console()
errors = Console(stderr=True)


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"gecko-hf {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


def say(message: str) -> None:
    """Print a line as it is: in one piece, and with the brackets that a path may have."""
    console.print(message, highlight=False, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Print a line beside the output, on what a person should know and what does not stop the command."""
    errors.print(f"[yellow]Warning:[/yellow] {escape(message)}", highlight=False, soft_wrap=True)


def quiet_libraries() -> None:
    """Keep loading bars and notices of the libraries out of our own view, unless the user set them."""
    for name, value in (
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("HF_DATASETS_DISABLE_PROGRESS_BARS", "1"),
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("TQDM_DISABLE", "1"),
        ("TOKENIZERS_PARALLELISM", "true"),
    ):
        os.environ.setdefault(name, value)
