"""Other positives and negatives from the scores that `labels` keeps: FRet step 2c again, without an LLM call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]

from gecko_hf.corpus.passages import Passage
from gecko_hf.errors import OutputError
from gecko_hf.fret.build import LABEL_FEATURES, FRet, parts_of, read_part, read_set_aside, training_rows
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.fret.label import LABEL_GATES, judged_of, label
from gecko_hf.fret.recipe import FRetRecipe


def relabel(
    folder: Path, passage_of: Callable[[str], Passage], recipe: FRetRecipe, seed: int, tests: TestSets | None
) -> Iterator[FRet]:
    """Choose again for every query of a FRet folder, part by part.

    Args:
        folder: A FRet folder of a finished build.
        passage_of: Finds a passage of its corpus by the id.
        recipe: How to choose now.
        seed: Of the run; it seeds random negatives.
        tests: Test sets that no positive may overlap: those that the build had, its held-out tasks included.

    Yields:
        The parts in order; what was set aside before judging comes with the first.

    Raises:
        OutputError: If the folder holds no labels, or labels without the scores.
    """
    files = parts_of(folder, "labels")
    if not files:
        raise OutputError(f"There are no labels in {folder}. Give a run folder whose fret stage is done.")
    missing = sorted(set(LABEL_FEATURES) - set(pq.read_schema(files[0]).names))
    if missing:
        raise OutputError(
            f"{files[0]} lacks the columns {', '.join(missing)}: an older version made it. Run the fret stage again (--redo)."
        )
    # What labelling set aside is decided anew.
    rejected = [item for item in read_set_aside(folder) if item.gate not in LABEL_GATES]
    for file in files:
        labels = [row | label(judged_of(row), recipe, seed, passage_of, tests) for row in read_part(file)]
        yield FRet(training_rows(labels, passage_of), labels, rejected)
        rejected = []
