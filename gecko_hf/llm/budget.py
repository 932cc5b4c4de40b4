"""What a run may ask of a language model: prices, and limits at which it stops with everything kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gecko_hf.errors import BudgetError
from gecko_hf.schema import number

MILLION = 1_000_000


@dataclass
class Usage:
    """What was asked of a model, and what was found in the store instead."""

    requests: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class BudgetRecipe:
    """The `budget` block of a recipe. Prices are in any one currency; nothing that a run makes depends on them.

    Attributes:
        prompt_price: Of a million prompt tokens.
        completion_price: Of a million completion tokens.
        gpu_hour_price: Of one GPU for an hour, where the servers are one's own.
        gpus: How many GPUs serve.
        prompt_tokens_per_second: What all servers together read, as measured on them; hours are computed from it.
        completion_tokens_per_second: What they write.
        max_requests: Most requests of the run folder, over all its starts.
        max_cost: Most money for tokens, over all its starts.
        max_hours: Longest time of one start in which the model is asked.
    """

    prompt_price: float = number(0.0, low=0.0)
    completion_price: float = number(0.0, low=0.0)
    gpu_hour_price: float = number(0.0, low=0.0)
    gpus: int = number(1, low=1)
    prompt_tokens_per_second: float | None = number(None, low=1.0)
    completion_tokens_per_second: float | None = number(None, low=1.0)
    max_requests: int | None = number(None, low=0)
    max_cost: float | None = number(None, low=0.0)
    max_hours: float | None = number(None, low=0.0)

    def cost(self, usage: Usage) -> float:
        """The price of the tokens."""
        return (usage.prompt_tokens * self.prompt_price + usage.completion_tokens * self.completion_price) / MILLION

    def hours(self, usage: Usage) -> float | None:
        """Hours that the servers need for these tokens, if their speed is known."""
        if not self.prompt_tokens_per_second or not self.completion_tokens_per_second:
            return None
        reading = usage.prompt_tokens / self.prompt_tokens_per_second
        return (reading + usage.completion_tokens / self.completion_tokens_per_second) / 3600


class Budget:
    """Holds a run to its limits.

    Args:
        recipe: The limits.
    """

    def __init__(self, recipe: BudgetRecipe) -> None:
        self.recipe = recipe
        self._start: float | None = None  # of the first request of this process

    def check(self, spent: Usage, in_flight: int) -> None:
        """Refuse one more request where it could pass a limit.

        Args:
            spent: What the run folder has paid for already.
            in_flight: Requests that were sent and not answered; each is taken to cost what one has cost so far.

        Raises:
            BudgetError: Naming the limit and what was spent.
        """
        recipe = self.recipe
        self._start = self._start or time.monotonic()
        if recipe.max_requests is not None and spent.requests + in_flight >= recipe.max_requests:
            self._stop("max_requests", f"{recipe.max_requests:,} requests", spent)
        if recipe.max_hours is not None and time.monotonic() - self._start >= recipe.max_hours * 3600:
            self._stop("max_hours", f"{recipe.max_hours:g} hours", spent)
        each = recipe.cost(spent) / spent.requests if spent.requests else 0.0
        if recipe.max_cost is not None and recipe.cost(spent) + (in_flight + 1) * each > recipe.max_cost:
            self._stop("max_cost", f"{recipe.max_cost:,.2f}", spent)

    def _stop(self, limit: str, value: str, spent: Usage) -> None:
        raise BudgetError(
            f"The run has used its budget of {value} (budget.{limit}): {self.describe(spent)}. Every answer is kept; raise "
            f"budget.{limit}, and the same command goes on from here."
        )

    def describe(self, usage: Usage) -> str:
        """`4,050 requests, 6,100,000 prompt and 12,000 completion tokens, cost 0.61`."""
        cost = (
            f", cost {self.recipe.cost(usage):,.2f}" if self.recipe.prompt_price or self.recipe.completion_price else ""
        )
        return (
            f"{usage.requests:,} requests, {usage.prompt_tokens:,} prompt and {usage.completion_tokens:,} completion "
            f"tokens{cost}"
        )
