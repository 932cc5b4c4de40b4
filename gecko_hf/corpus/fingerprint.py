"""Whether the input of a corpus is still what it was: cheap enough to ask before every run."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from gecko_hf.corpus.files import find_files, local_path
from gecko_hf.corpus.recipe import CorpusRecipe
from gecko_hf.file_state import file_state


def input_state(recipe: CorpusRecipe) -> dict[str, Any]:
    """What identifies the input: package versions, files with `file_state`, or a Hub id with its revision.

    Raises:
        CorpusError: If there is no such path, or nothing in it that can be read.
    """
    if recipe.source == "docstrings":
        providers = metadata.packages_distributions()
        return {p: [metadata.version(d) for d in sorted(set(providers.get(p, ())))] for p in recipe.packages}
    root = local_path(recipe)
    if root is None:
        return {"hub": recipe.path, "revision": recipe.revision, "split": recipe.split}
    found, _ = find_files(root)
    return {name: file_state(file) for name, file in found.items()}
