"""What a run has paid for its language model, told while it works and in its summary."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gecko_hf.errors import OutputError
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
    budget, told, over = Budget(recipe.budget), spent(recipe, paths), threading.Event()

    def tell() -> None:
        nonlocal told
        before, told = told, spent(recipe, paths)
        if told is not None and told != before:
            view.say(f"  so far: {budget.describe(told)}")

    def watch() -> None:  # beside the work, which may report nothing for hours: it writes a part's queries in one go
        while not over.wait(TOLD_EVERY):
            with suppress(OutputError):  # of a store that is locked for long; whoever needs it next says so
                tell()

    watcher = threading.Thread(target=watch, daemon=True)
    with view.task(description) as report:
        watcher.start()
        try:
            yield report
        finally:
            over.set()
            watcher.join()
    tell()
