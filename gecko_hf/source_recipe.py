"""What a recipe says of rows that are read: the part that the blocks of mixtures and of held-out tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.errors import RecipeError
from gecko_hf.schema import number


@dataclass(frozen=True, kw_only=True)
class SourceRecipe:
    """Where rows come from.

    Attributes:
        source: Local file or folder, or Hub id.
        revision: Commit, tag or branch of the Hub id. A branch is resolved to its commit when the rows are read.
        config: Configuration of the Hub data set.
        split: Its split.
        where: Column -> value that a row must have.
        half: One half of the labels, dealt by their hash: a labelled set can teach with one and be held out with the other.
        columns: Role -> column, where the data set's names are not the kind's own.
        rows: How many rows are drawn, at most.
    """

    source: str | None = None
    revision: str | None = None
    config: str | None = None
    split: str = "train"
    where: dict[str, str] = field(default_factory=dict)
    half: Literal["first", "second"] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    rows: int | None = number(None, low=1)


def check_columns(recipe: SourceRecipe, kind: str, roles: Sequence[str], where: str) -> None:
    """Refuse a column for a role that is not read, or for two.

    Args:
        recipe: The block.
        kind: What reads its rows, for messages.
        roles: Those that it reads.
        where: The block's place, for messages.

    Raises:
        RecipeError: Naming the role, and those that there are.
    """
    known = [*roles, "label"] if recipe.half and "label" not in roles else [*roles]
    if unknown := [role for role in recipe.columns if role not in known]:
        raise RecipeError(
            f"{where}.columns names a column for {unknown[0]!r}, and kind: {kind} reads {', '.join(known)}. Write the role "
            "first, columns: {ROLE: COLUMN}, or leave it out."
        )
    roles_of: dict[str, str] = {}
    for role, column in recipe.columns.items():
        if column in roles_of:
            raise RecipeError(
                f"{where}.columns: {roles_of[column]} and {role} are both the column {column!r}. A column has one role; give the "
                "data a second one."
            )
        roles_of[column] = role
