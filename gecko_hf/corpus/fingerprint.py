"""Whether the input of a corpus is still what it was: cheap enough to ask before every run."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from gecko_hf.recipe import CorpusRecipe


def input_state(recipe: CorpusRecipe) -> dict[str, Any]:
    """What identifies the input: package versions, files with size and time, or a Hub id with its revision."""
    if recipe.source == "docstrings":
        providers = metadata.packages_distributions()
        return {p: [metadata.version(d) for d in sorted(set(providers.get(p, ())))] for p in recipe.packages}
    root = Path(recipe.path or "").expanduser()
    if not root.exists():
        return {"hub": recipe.path, "revision": recipe.revision, "split": recipe.split}
    files = sorted(f for f in root.rglob("*") if f.is_file()) if root.is_dir() else [root]
    return {str(f): [f.stat().st_size, f.stat().st_mtime_ns] for f in files}
