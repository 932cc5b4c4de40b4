"""`gecko-hf doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries, warn


@app.command()
def doctor(
    model: Annotated[str, typer.Argument(help="A folder, a Hub id, or package:NAME.")],
    tasks: Annotated[
        list[str] | None, typer.Option("--tasks", help="mteb tasks to look at; every task type by default. Repeatable.")
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="The paper's 56 tasks with its Table 9 task names.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub id.")] = None,
) -> None:
    """Show which prefix every task is read with, and check that all routes to a vector agree. Exit code 1: findings."""
    quiet_libraries()
    from gecko_hf.evaluation.doctor import check_parity, findings
    from gecko_hf.evaluation.model import open_model, use_paper_prompts
    from gecko_hf.evaluation.prompt_report import prompt_table, task_rows, type_rows
    from gecko_hf.evaluation.tasks import mteb_tasks, paper_tasks, refuse_tasks_of_paper

    refuse_tasks_of_paper(paper, tasks)
    opened = open_model(model, revision=revision)
    if paper:
        use_paper_prompts(opened.model)
    chosen = paper_tasks() if paper else mteb_tasks(tasks or [])
    rows = task_rows(opened.model, chosen) if chosen else type_rows(opened.model)
    console.print(prompt_table(rows, f"Prompts of {opened.name} at {opened.revision}"))
    if not any(opened.model.prompts.values()):
        console.print("The model has no prompts: it reads every text bare, in mteb as everywhere.", highlight=False)
    checks = check_parity(opened.model, rows)
    found = findings(opened.model, checks)
    for finding in found:
        warn(finding)
    if found:
        raise typer.Exit(1)
    console.print(
        f"Plain sentence-transformers, a prefix written by hand and mteb's wrapper agree on all {len(checks)} rows.",
        highlight=False,
    )
