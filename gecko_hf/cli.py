"""The command line: parse, call, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gecko_hf import __version__
from gecko_hf.errors import GeckoError

app = typer.Typer(
    name="gecko-hf",
    help="Make an embedding model the Gecko way: from text and an LLM to a model, its FRet data set and its scores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
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
    _quiet_libraries()
    from gecko_hf import pipeline
    from gecko_hf.hub.tables import result_table

    folder = pipeline.run(settings, console, redo=redo)
    console.print(result_table(folder))
    console.print(f"\nReport   {folder / 'report' / 'report.html'}", highlight=False, soft_wrap=True)
    console.print(f'Model    SentenceTransformer("{folder / "model"}")', highlight=False, soft_wrap=True)
    console.print(f'FRet     load_dataset("{folder / "fret"}")', highlight=False, soft_wrap=True)
    console.print(f'Search   gecko-hf search {folder} "..."', highlight=False, soft_wrap=True)


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
    _quiet_libraries()
    from gecko_hf.search import search_table

    console.print(search_table(folder, query, top, dim))


def _quiet_libraries() -> None:
    """Keep loading bars and notices of the libraries out of our own view, unless the user set them."""
    for name, value in (
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("HF_DATASETS_DISABLE_PROGRESS_BARS", "1"),
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("TQDM_DISABLE", "1"),
        ("TOKENIZERS_PARALLELISM", "true"),
    ):
        os.environ.setdefault(name, value)


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2; Ctrl-C is 130."""
    try:
        app(standalone_mode=True)
    except GeckoError as error:
        errors.print(f"[bold red]Error:[/bold red] {_escape(error)}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        errors.print("Stopped. Nothing that was finished is lost; the same command goes on from there.")
        raise SystemExit(130) from None


def _escape(error: GeckoError) -> str:
    from rich.markup import escape

    return escape(str(error))
