"""`gecko-hf compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries, warn


@app.command()
def compare(
    models: Annotated[
        list[str], typer.Argument(help="NAME\\[@REVISION][:DIM], as in the results; the first is compared with.")
    ],
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    tasks: Annotated[
        list[str] | None, typer.Option("--tasks", help="Only these, separated by commas or repeated.")
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Lay one model beside the paper's Tables 1 and 8.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here as Markdown, too.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw score by dimension, by size and by speed into this .svg file.")
    ] = None,
) -> None:
    """Compare models on the tasks that both were measured on, with bootstrap intervals over queries."""
    quiet_libraries()
    from gecko_hf.errors import EvaluationError
    from gecko_hf.evaluation import compare as comparing
    from gecko_hf.evaluation.paper import paper_markdown, paper_table
    from gecko_hf.evaluation.results import read_results
    from gecko_hf.evaluation.tasks import refuse_tasks_of_paper
    from gecko_hf.hub.comparison import plot_comparison

    refuse_tasks_of_paper(paper, tasks)
    if plot and plot.suffix != ".svg":
        raise EvaluationError(f"--plot writes SVG, not {plot.suffix or 'a file without an ending'}: name a file.svg.")
    for file in (markdown, plot):
        if file and not file.parent.is_dir():
            raise EvaluationError(
                f"There is no folder {file.parent} to write {file.name} into. Make it, or name another."
            )
    scores = read_results(results, warn)
    contenders = [comparing.find_contender(model, scores) for model in models]
    only = [name.strip() for part in tasks or [] for name in part.split(",")]
    written = []
    if paper:
        for found in contenders:
            own = list(found.scores.values())
            dim = own[0].dim or 0
            console.print(paper_table(own, dim, found.label))
            written.append(paper_markdown(own, dim, found.label))
    elif len(contenders) < 2:
        raise EvaluationError("Name two models or more, or one with --paper.")
    else:
        first, *others = contenders
        for other in others:
            rows = comparing.compare(first, other, only)
            console.print(comparing.comparison_table(first, other, rows))
            written.append(comparing.comparison_markdown(first, other, rows))
    if markdown:
        markdown.write_text("\n".join(written), encoding="utf-8")
        console.print(f"Written  {markdown}", highlight=False, soft_wrap=True)
    if plot:
        for note in plot_comparison(contenders, scores, only, plot):
            console.print(note, highlight=False, soft_wrap=True)
        console.print(f"Written  {plot}", highlight=False, soft_wrap=True)
