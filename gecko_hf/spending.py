"""What a run has paid for its language model, told while it works and in its summary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gecko_hf.llm.budget import Budget
from gecko_hf.progress import Report, View
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths

if TYPE_CHECKING:
    from gecko_hf.llm.budget import Usage

TOLD_EVERY = 60.0  # seconds between two lines about what was spent


def spent(recipe: Recipe, paths: Paths) -> Usage | None:
    """What every start of a run has paid so far, in all its processes; None where no language model is asked."""
    from contextlib import closing

    from gecko_hf.llm.answers import Answers

    if all(llm.backend == "unigram" for llm in recipe.llms) or not paths.answers.exists():
        return None
    with closing(Answers(paths.answers)) as answers:
        return answers.spent()


def totals(recipe: Recipe, paths: Paths) -> dict[str, Any] | None:
    """Requests, tokens and, where the recipe has prices, money: for the summary."""
    usage = spent(recipe, paths)
    if usage is None:
        return None
    budget = recipe.budget
    cost = round(budget.cost(usage), 4) if budget.prompt_price or budget.completion_price else None
    return {
        "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": cost,
    }


@contextmanager
def task_with_spending(view: View, recipe: Recipe, paths: Paths, description: str) -> Iterator[Report]:
    """A bar for one piece of work, with a line every minute, and one at its end, about what has been spent."""
    budget, last, told = Budget(recipe.budget), time.monotonic(), spent(recipe, paths)

    def tell() -> None:
        nonlocal last, told
        last, before, told = time.monotonic(), told, spent(recipe, paths)
        if told is not None and told != before:
            view.say(f"  so far: {budget.describe(told)}")

    with view.task(description) as report:

        def both(done: int, total: int | None) -> None:
            report(done, total)
            if time.monotonic() - last >= TOLD_EVERY:
                tell()

        yield both
    tell()
