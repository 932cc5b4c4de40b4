"""Queries that a mixture has, read again under the prompts of tasks that are to stay as they were.

What a labelled set teaches under `task: classification` moves the same and similar texts under every other prompt too: the
prompt is four words of the text. A set of this kind shows the model those texts under the prompts of the tasks that it names,
and is only kept, as the untouched base reads them; so the prompt, and nothing else, is what tells one reading from the other.
A text that another set teaches under one of these tasks is kept there too. Ours; learning without forgetting (Li & Hoiem 2016,
arXiv 1606.09282) reads the new task's inputs for the old ones in the same way.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import datasets

from gecko_hf.errors import RecipeError
from gecko_hf.prompts import format_query
from gecko_hf.training.data import TrainingSet
from gecko_hf.training.mixture_recipe import DataRecipe


def read_again(name: str, recipe: DataRecipe, sets: Sequence[TrainingSet], seed: int) -> TrainingSet:
    """Rows of two texts each, both under the row's task.

    Args:
        name: As in the recipe.
        recipe: Its block. `rows` caps the rows: each set gives an equal part of their texts, or all that it has, and the
            others more.
        sets: The sets of the mixture, those among them that `recipe.of` names.
        seed: Seeds which texts are taken, their order and their tasks.

    Raises:
        RecipeError: If there are no two texts.
    """
    draw = random.Random(seed)  # not security: seeded sampling
    queries = [list(dict.fromkeys(map(one.bare, one.rows["anchor"]))) for one in sets if one.name in recipe.of]
    texts: dict[str, None] = {}
    for done, found in enumerate(sorted(queries, key=len)):  # what a small set cannot give, the larger ones do
        draw.shuffle(found)
        share = (2 * recipe.rows - len(texts)) // (len(queries) - done) if recipe.rows else len(found)
        texts |= dict.fromkeys(found[:share])
    order = list(texts)
    draw.shuffle(order)
    pairs = list(zip(order[::2], order[1::2], strict=False))  # an odd one has no partner
    if not pairs:
        raise RecipeError(
            f"{name} has no row: {len(order)} texts of {', '.join(recipe.of)}. Raise its rows, or leave it out."
        )
    tasks = draw.choices(list(recipe.tasks), list(recipe.tasks.values()), k=len(pairs))
    rows = {
        column: [format_query(task, pair[side]) for task, pair in zip(tasks, pairs, strict=True)]
        for side, column in enumerate(("anchor", "positive"))
    }
    aside = {"no second text for a row": 1} if len(order) % 2 else {}
    return TrainingSet(name, datasets.Dataset.from_dict(rows), aside, recipe)
