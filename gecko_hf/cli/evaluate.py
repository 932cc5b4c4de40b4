"""`gecko-hf evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries, warn


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A folder, a Hub id, or package:NAME.")],
    tasks: Annotated[
        list[str] | None, typer.Option("--tasks", help="mteb tasks, separated by commas or repeated.")
    ] = None,
    benchmark: Annotated[str | None, typer.Option(help='An mteb benchmark, for example "MTEB(eng, v2)".')] = None,
    local: Annotated[
        list[Path] | None, typer.Option("--local", help="Folder with data sets of your own. Repeatable.")
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="The paper's 56 tasks with its task names.")] = False,
    dims: Annotated[
        list[str] | None,
        typer.Option("--dims", help="Matryoshka widths, separated by commas or repeated; the full one by default."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub id.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results, in mteb's layout.")] = Path("results"),
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[list[str] | None, typer.Option(help="As torch names it. Repeat it to use several.")] = None,
    max_length: Annotated[int | None, typer.Option(min=8, help="Tokens of a text; the model's own by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show prompts and plan, measure nothing.")] = False,
) -> None:
    """Measure a model with mteb. What is measured is skipped, so the same command goes on after a stop."""
    quiet_libraries()
    from gecko_hf.evaluation.evaluate import check_widths, plan
    from gecko_hf.evaluation.evaluate import evaluate as measure
    from gecko_hf.evaluation.model import open_model, require_device, use_paper_prompts
    from gecko_hf.evaluation.prompt_report import prompt_table, prompt_warnings, task_rows
    from gecko_hf.evaluation.results import read_results, score_table
    from gecko_hf.evaluation.tasks import choose_tasks
    from gecko_hf.progress import View

    for name in device or []:
        require_device(name)
    chosen = choose_tasks(tasks or [], benchmark, local or [], paper=paper)
    opened = open_model(
        model, revision=revision, dtype=dtype, device=device[0] if device else None, max_length=max_length
    )
    if paper and not use_paper_prompts(opened.model):
        has = "prompts of its own" if any(opened.model.prompts.values()) else "no prompts"
        console.print(f"{opened.name} has {has}; the paper's task names are not used.", highlight=False)
    widths = check_widths(opened, _numbers(dims or []))
    rows = task_rows(opened.model, chosen)
    console.print(prompt_table(rows, f"Prompts of {opened.name} at {opened.revision}"))
    for warning in prompt_warnings(opened.model, rows):
        warn(warning)
    jobs = plan(opened, chosen, widths, results)
    left = sum(len(job.dims) for job in jobs)
    console.print(
        f"Tasks: {len(jobs)}, widths: {len(widths)}; {left} to measure, {len(jobs) * len(widths) - left} done."
    )
    if dry_run:
        return
    view = View(console)
    with view.live():
        measure(opened, chosen, widths, results, view, batch_size=batch_size, devices=device or [])
    names = {task.metadata.name for task in chosen}
    found = read_results(results, warn)
    # Other widths may be of earlier data.
    mine = [
        s
        for s in found
        if (s.model, s.revision) == (opened.name, opened.revision) and s.task in names and s.dim in widths
    ]
    console.print(score_table(mine, f"{opened.name} at {opened.revision}"))
    console.print(f"Results  {results}", highlight=False, soft_wrap=True)


def _numbers(given: list[str]) -> list[int]:
    """Widths as they were typed."""
    from gecko_hf.errors import EvaluationError

    parts = [part.strip() for text in given for part in text.split(",")]
    wrong = [part for part in parts if not part.isdigit()]
    if wrong:
        raise EvaluationError(f"--dims takes numbers, as in --dims 384,128, and not {wrong[0]!r}.")
    return [int(part) for part in parts]
