"""Limits of what a run may ask, and what they are said to be when they are met."""

import pytest

from gecko_hf.errors import BudgetError
from gecko_hf.llm.budget import Budget, BudgetRecipe, Usage

SPENT = Usage(requests=10, prompt_tokens=1_000_000, completion_tokens=500_000)


def test_tokens_are_priced_by_the_million():
    assert BudgetRecipe(prompt_price=2.0, completion_price=4.0).cost(SPENT) == 4.0


def test_hours_are_known_only_with_both_speeds():
    assert BudgetRecipe(prompt_tokens_per_second=1000.0).hours(SPENT) is None
    recipe = BudgetRecipe(prompt_tokens_per_second=1000.0, completion_tokens_per_second=100.0)
    assert recipe.hours(SPENT) == pytest.approx((1000 + 5000) / 3600)


def test_without_limits_nothing_is_refused():
    Budget(BudgetRecipe(prompt_price=1e6)).check(SPENT, in_flight=1000)


@pytest.mark.parametrize(("in_flight", "refused"), [(4, False), (5, True)])
def test_requests_on_their_way_count_towards_the_most(in_flight, refused):
    budget = Budget(BudgetRecipe(max_requests=15))
    if not refused:
        budget.check(SPENT, in_flight)
        return
    with pytest.raises(BudgetError, match=r"15 requests \(budget.max_requests\): 10 requests, 1,000,000 prompt"):
        budget.check(SPENT, in_flight)


@pytest.mark.parametrize(("in_flight", "refused"), [(4, False), (5, True)])
def test_requests_on_their_way_are_taken_to_cost_what_one_has_cost(in_flight, refused):
    budget = Budget(BudgetRecipe(prompt_price=1.0, max_cost=1.5))  # 0.1 a request so far
    if not refused:
        budget.check(SPENT, in_flight)
        return
    with pytest.raises(BudgetError, match=r"1.50 \(budget.max_cost\).*cost 1.00.*raise budget.max_cost"):
        budget.check(SPENT, in_flight)


def test_hours_are_counted_from_the_first_request_of_a_start(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("gecko_hf.llm.budget.time.monotonic", lambda: now[0])
    budget = Budget(BudgetRecipe(max_hours=0.5))
    now[0] = 5000.0  # what went before the first request does not count
    budget.check(SPENT, 0)
    now[0] += 1799.0
    budget.check(SPENT, 0)
    now[0] += 1.0
    with pytest.raises(BudgetError, match=r"0.5 hours \(budget.max_hours\)"):
        budget.check(SPENT, 0)
