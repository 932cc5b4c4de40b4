"""A path as a person writes it: a shell leaves the `~` of `corpus.path=~/text` to us."""

from __future__ import annotations

from pathlib import Path

from gecko_hf.errors import RecipeError


def expanded(name: str) -> Path:
    """The path, with the home folder in the place of a `~` or `~user` that it begins with.

    Raises:
        RecipeError: If this machine has no such user.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise RecipeError(
            f"{name!r} begins with {name.partition('/')[0]}, and there is no home folder of that user. Write the path out, or "
            "begin it with ~/ for your own."
        ) from error
