"""Which commit of a Hub repository the base of a run is, and its retriever: asked once, then the same in every stage."""

from __future__ import annotations

import json
from pathlib import Path

from gecko_hf.model.encoder import PACKAGE, hub_commit, no_encoder
from gecko_hf.model.recipe import EncoderRecipe, RetrieverRecipe
from gecko_hf.run_folder import write_json
from gecko_hf.source import UNREACHED
from gecko_hf.training.processes import is_main

RECORDS = {"encoder": "base.json", "retriever": "retriever.json"}  # block of the recipe -> file


def base_commit(encoder: EncoderRecipe | RetrieverRecipe, logs: Path) -> str | None:
    """The commit that the branch or tag of the base stood at when a run first asked; None for a folder or a package.

    Args:
        encoder: Names base and revision.
        logs: Folder of the run's records, where the answer is kept.

    Raises:
        RecipeError: If there is no such base.
    """
    if encoder.base.startswith(PACKAGE) or Path(encoder.base).exists():
        return None
    if known := known_commit(encoder, logs):
        return known
    try:
        commit = hub_commit(encoder.base, encoder.revision)
    except UNREACHED as error:
        raise no_encoder(encoder.base, error, encoder.block) from error
    if is_main():
        found = {"base": encoder.base, "revision": encoder.revision, "commit": commit}
        write_json(found, logs / RECORDS[encoder.block])
    return commit


def known_commit(encoder: EncoderRecipe | RetrieverRecipe, logs: Path) -> str | None:
    """What `base_commit` wrote of this base at this revision; None where it did not."""
    file = logs / RECORDS[encoder.block]
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    same = (found.get("base"), found.get("revision")) == (encoder.base, encoder.revision)
    return str(found["commit"]) if found and same else None
