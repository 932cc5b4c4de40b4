"""`gecko-hf submit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries, warn


@app.command()
def submit(
    model: Annotated[str, typer.Argument(help="The checkpoint that was measured: a folder, or its Hub id.")],
    hub_id: Annotated[str, typer.Option(help="Where it is on the Hub: organisation/name.")],
    commit: Annotated[str, typer.Option(help="The Hub commit that holds it, 40 hexadecimal digits.")],
    results: Annotated[Path, typer.Option(help="Folder that gecko-hf evaluate wrote.")] = Path("results"),
    run: Annotated[Path | None, typer.Option(help="The run that made the model: says what it was trained on.")] = None,
    declare: Annotated[
        Path | None, typer.Option(help="YAML with licence, training_datasets, adapted_from, ...")
    ] = None,
    out: Annotated[Path, typer.Option(help="New folder to write into.")] = Path("submission"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and write everything, send nothing.")] = False,
) -> None:
    """Check results against what the MTEB leaderboard wants, write the submission, and open its pull requests."""
    quiet_libraries()
    from gecko_hf.evaluation.card_section import card_section, run_set_aside
    from gecko_hf.evaluation.declaration import declared_meta, read_declaration, zero_shot
    from gecko_hf.evaluation.model import open_model
    from gecko_hf.evaluation.results import read_results
    from gecko_hf.evaluation.send import require_access, require_same_weights, send
    from gecko_hf.evaluation.submission import collect, write_submission

    declaration = read_declaration(declare, run)
    scores = read_results(results, warn)
    opened = open_model(model, revision=commit if model == hub_id else None)
    found = collect(opened, scores, hub_id, commit, results)
    metas = declared_meta(opened, declaration, hub_id, commit, found.dims)
    widest = metas[found.dims[0]]
    status = zero_shot(widest, sorted({s.task for s in found.scores}))
    if not dry_run:
        require_access(hub_id)
        if Path(model).is_dir():
            require_same_weights(Path(model), hub_id, commit)
    write_submission(found, metas, out, card_section(found, status, run_set_aside(run)))
    console.print(
        f"{len(found.scores)} results of {hub_id} at {commit}, written to {out}", highlight=False, soft_wrap=True
    )
    console.print(status, highlight=False, soft_wrap=True)
    if found.left_out:
        console.print(f"Left out (local data): {', '.join(found.left_out)}", highlight=False, soft_wrap=True)
    if dry_run:
        console.print("Nothing was sent. Without --dry-run, two pull requests are opened:", highlight=False)
        console.print("  mteb's results repository and the model on the Hub.", highlight=False)
        return
    for address in send(widest, out):
        console.print(address, highlight=False, soft_wrap=True)
