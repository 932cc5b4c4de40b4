"""What FRet's rows depend on of a recipe: it stands in a data set's provenance, and tells one FRet from another.

The stages `corpus` and `fret` of `pipeline.STAGES` depend on the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gecko_hf.recipe import HELD_OUT, RETRIEVER
from gecko_hf.run_folder import differences

WHOLE = ("name", "seed", "precision", "corpus", "llm", "judge", "retriever", "fret")  # blocks and keys at the top


def fret_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a recipe that FRet depends on; of the encoder nothing where another model fetches the candidates."""
    encoder, evaluation = recipe["encoder"], recipe["evaluation"]
    return {
        **{key: recipe.get(key) for key in WHOLE},
        "encoder": None if recipe.get("retriever") else {key: encoder.get(key) for key in RETRIEVER},
        "evaluation": {key: evaluation.get(key) for key in (*HELD_OUT, "tasks")},
    }


def fret_differences(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    """The dotted keys in which the recipes of two FRets differ.

    Args:
        theirs: What a data set on the Hub has on record.
        mine: As `fret_recipe` made it.

    An earlier version put the whole encoder on record, and neither evaluation nor precision: these cannot be compared.
    """
    if "evaluation" not in theirs:
        untold = {key: mine[key] for key in ("evaluation", "precision")}
        theirs = fret_recipe({"encoder": {}, **theirs, **untold})
    return differences(theirs, mine)
