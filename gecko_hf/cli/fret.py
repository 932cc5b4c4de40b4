"""`gecko-hf fret ...`: commands about FRet alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import RecipeArgument, Redo, app, console, quiet_libraries, say

fret = typer.Typer(
    name="fret",
    help="FRet alone: what it will cost, building it, other labels without an LLM call.",
    no_args_is_help=True,
)
app.add_typer(fret)


@fret.command()
def plan(
    recipe: RecipeArgument,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Values to change: corpus.path=docs/ budget.prompt_price=0.1")
    ] = None,
    pilot: Annotated[
        int, typer.Option(min=0, help="Have the model write the queries of this many seeds, to see how long they are.")
    ] = 0,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Plan for this many seeds of the same kind of text, whatever the corpus holds."),
    ] = None,
    passages: Annotated[
        int | None, typer.Option(min=1, help="Plan the disk for this many passages of the same kind, likewise.")
    ] = None,
    redo: Redo = False,
) -> None:
    """Requests, tokens, money, hours and disk of a recipe's FRet, before it is built."""
    from gecko_hf.recipe import load_recipe

    settings = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from gecko_hf.plan import plan_run

    plan_run(settings, console, pilot=pilot, rows=rows, passages=passages, redo=redo)


@fret.command()
def build(
    recipe: RecipeArgument,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Values to change: corpus.path=docs/ llm.url=http://a:8000")
    ] = None,
    redo: Redo = False,
) -> None:
    """Build a recipe's FRet and its card, and train nothing. What is done is skipped; gecko-hf run goes on from here."""
    from gecko_hf.recipe import load_recipe

    settings = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from gecko_hf import pipeline
    from gecko_hf.hub.summary import outdated, read_summary
    from gecko_hf.run_folder import Paths

    paths = Paths(pipeline.run(settings, console, redo=redo, until="fret"))
    # A FRet that was just built has no card yet.
    if not (paths.fret / "README.md").exists() or outdated(read_summary(paths), paths, ("corpus", "fret")):
        pipeline.write_fret_report(settings, paths)
    say(f"Card     {paths.fret / 'README.md'}")
    say(f'FRet     load_dataset("{paths.fret}")')


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
