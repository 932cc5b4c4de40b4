"""The gates that a written query must pass."""

import pytest

from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.fret.generate import GeneratedQuery
from gecko_hf.fret.quality import check, duplicates
from gecko_hf.fret.recipe import QualityRecipe

SEED = Passage("s", "Loaves", "A loaf keeps its crust when the oven stays closed for the first ten minutes of baking.")


def refused(query, **gates):
    failed = check(GeneratedQuery("s", "search result", query), SEED, QualityRecipe(**gates), None)
    return failed and failed.reason


@pytest.mark.parametrize("query", ["", "a", "the oven stays closed for the first ten minutes"])
def test_every_gate_is_off_by_default(query):
    assert refused(query) is None


@pytest.mark.parametrize(
    ("query", "gates", "reason"),
    [
        ("crust", {"min_words": 2}, "short: it has fewer than 2 words"),
        ("why the crust", {"min_words": 3}, None),
        ("what is it about", {"min_content_words": 1}, "empty: fewer than 1 words have content"),
        ("what is a crust", {"min_content_words": 1}, None),
        ("如何烤面包", {"min_words": 2, "min_content_words": 2}, None),  # five characters, no space
        ("the oven stays closed for the first", {"max_copied": 0.8}, "copied: 100% of it stands in its passage in one piece"),
        ("how long the oven stays closed for crust", {"max_copied": 0.8}, None),
        ("first ten minutes", {"max_copied": 0.8}, None),  # a name or a phrase may be asked for as it stands
    ],
)  # fmt: skip
def test_what_a_gate_refuses(query, gates, reason):
    assert refused(query, **gates) == reason


def test_a_query_out_of_a_test_set_is_refused_and_the_set_is_named():
    tests = TestSets([("Exam", "Why does bread lose its crust?")])
    failed = check(GeneratedQuery("s", "t", "why does bread lose its crust"), SEED, QualityRecipe(), tests)
    assert failed.reason == "test query: nearly identical to a text of Exam"
    assert (failed.gate, failed.seed_id, failed.query) == ("test query", "s", "why does bread lose its crust")


QUERIES = [
    GeneratedQuery("b", "t", "How do I keep the crust of a loaf crisp in a cold and damp kitchen?"),
    GeneratedQuery("a", "t", "how do i keep the crust of a loaf crisp in a cold and damp kitchen"),
    GeneratedQuery("c", "t", "How do I keep the crust of a loaf crisp in a cold and damp cellar?"),
    GeneratedQuery("d", "t", "When is a knight worth more than a bishop?"),
]


@pytest.mark.parametrize(("threshold", "kept"), [(1.0, "bcd"), (0.8, "bd")])
def test_of_duplicates_the_first_in_the_order_of_seeds_stays(threshold, kept):
    dropped = duplicates(lambda: QUERIES, threshold)
    assert "".join(q.seed_id for q in QUERIES if q.seed_id not in {r.seed_id for r in dropped}) == kept
    assert all(r.reason == "duplicate: of the query for b" for r in dropped)
