"""FRet again with other positives and negatives, from the scores that a finished run keeps."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.errors import OutputError, RecipeError
from gecko_hf.fret.recipe import LABEL_KEYS
from gecko_hf.pipeline import counts_text, plan, write_fret_report
from gecko_hf.progress import View
from gecko_hf.recipe import Recipe, load_recipe, load_run_recipe
from gecko_hf.run_folder import Paths, open_run_folder, remove_record, working_in, write_record
from gecko_hf.stages.fret import fret_counts
from gecko_hf.stages.run import Run

PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}  # paths are printed as they are


def relabel_run(folder: Path, overrides: Sequence[str], console: Console) -> None:
    """Make a run's `default` and `labels` configs anew and write the choice into its recipe.

    The run then counts as one of the changed recipe with its FRet done: `gecko-hf run` goes on with fine-tuning.

    Args:
        folder: A run folder.
        overrides: `key=value` pairs of the `fret` block, among `LABEL_KEYS`; the prefix `fret.` may be left out.
        console: Where to say what was made.

    Raises:
        RecipeError: If the folder is no run, or an override touches anything else.
        OutputError: If its FRet is not done or not that of its recipe and input, or another process works in it.
    """
    before = replace(load_run_recipe(folder), output=str(folder))
    after = changed(before, folder, overrides)
    with working_in(before, redo=False) as paths:
        counts = _relabel(before, after, paths, console)
    console.print(f"{paths.fret}: {counts_text(counts)}. No LLM call was made.", **PLAIN)
    console.print(f"The recipe of {folder} has changed; `gecko-hf run {folder}` trains on the new rows.", **PLAIN)


def _relabel(before: Recipe, after: Recipe, paths: Paths, console: Console) -> dict[str, int]:
    """Write rows, recipe, record and card; returns how many there are of what."""
    step = next(s for s in plan(before, paths, input_state(before.corpus)) if s.stage.name == "fret")
    if step.record is None:
        raise OutputError(f"{paths.root} has no finished FRet of its recipe and input. Run `gecko-hf run` first.")
    from gecko_hf.fret.build import parts_of, write_labels
    from gecko_hf.fret.relabel import relabel

    start = time.monotonic()
    total: dict[str, int] = {}
    parts = len(parts_of(paths.fret, "labels"))
    run = Run(after, paths, View(console))
    made = relabel(paths.fret, run.passages.find, after.fret, after.seed, run.tests)
    first = next(made)  # whatever is wrong with the folder shows before anything is changed
    # The record goes first: killed after this, the run folder asks for its FRet again instead of trusting half of it.
    remove_record(paths, "fret")
    open_run_folder(after, redo=True)
    for part, fret in enumerate(itertools.chain([first], made)):
        write_labels(fret, paths.fret, part, parts)
        total = {name: total.get(name, 0) + count for name, count in fret_counts(fret).items()}
    key = next(s.key for s in plan(after, paths, input_state(after.corpus)) if s.stage.name == "fret")
    seconds = step.record["seconds"] + time.monotonic() - start  # the scores took what they took
    write_record(paths, "fret", key, seconds, step.record["counts"] | total, step.record.get("environment"))
    write_fret_report(after, paths)
    return total


def changed(recipe: Recipe, folder: Path, overrides: Sequence[str]) -> Recipe:
    """A run's recipe with other label choices.

    Raises:
        RecipeError: If there are none, or one is not a label choice.
    """
    keys = [f"fret.{key}" for key in LABEL_KEYS]
    full = [o if o.startswith("fret.") else f"fret.{o}" for o in overrides]
    wrong = [o for o in full if o.partition("=")[0] not in keys]
    if wrong or not full:
        seen = f"{wrong[0]!r} is none of them" if wrong else "none is given"
        raise RecipeError(f"relabel changes {', '.join(keys)}; {seen}. Example: {keys[1]}=random")
    return replace(load_recipe(folder, full), output=str(folder))
