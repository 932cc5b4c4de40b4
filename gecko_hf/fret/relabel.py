"""Other positives and negatives from the scores that `labels` keeps: FRet step 2c again, without an LLM call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gecko_hf.corpus.passages import Passage
from gecko_hf.errors import OutputError
from gecko_hf.fret.build import LABEL_FEATURES, FRet, read_rows, training_rows
from gecko_hf.fret.decontaminate import load_test_sets
from gecko_hf.fret.generate import Rejected
from gecko_hf.fret.label import LABEL_GATES, judged_of, label
from gecko_hf.fret.recipe import FRetRecipe


def relabel(folder: Path, corpus: Sequence[Passage], recipe: FRetRecipe, seed: int) -> FRet:
    """Choose again for every query of a FRet folder.

    Args:
        folder: A FRet folder, as `write_fret` wrote it.
        corpus: Its passages.
        recipe: How to choose now.
        seed: Of the run; it seeds random negatives.

    Raises:
        OutputError: If the folder holds no labels, or labels without the scores.
    """
    file = folder / "labels" / "train.parquet"
    if not file.is_file():
        raise OutputError(f"There are no labels at {file}. Give a run folder whose fret stage is done.")
    stored = read_rows(folder, "labels")
    missing = sorted(set(LABEL_FEATURES) - set(stored[0])) if stored else []
    if missing:
        raise OutputError(
            f"{file} lacks the columns {', '.join(missing)}: an older version made it. Run the fret stage again (--redo)."
        )
    row_of = {passage.id: row for row, passage in enumerate(corpus)}
    tests = load_test_sets(recipe.quality)

    def passage_of(passage: str) -> Passage:
        return corpus[row_of[passage]]

    labels = [row | label(judged_of(row), recipe, seed, passage_of, tests) for row in stored]
    rows = training_rows(labels, passage_of)
    return FRet(rows, labels, _rejected(folder))


def _rejected(folder: Path) -> list[Rejected]:
    """What was set aside before judging; what labelling set aside is decided anew."""
    lines = (folder / "set_aside.jsonl").read_text(encoding="utf-8").splitlines()
    return [r for r in (Rejected(**json.loads(line)) for line in lines) if r.gate not in LABEL_GATES]
