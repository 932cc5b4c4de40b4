import dataclasses
from collections import Counter

import pytest

from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.fret.label import Judged, Label, choose, judged_of, label
from gecko_hf.fret.rank import fuse
from gecko_hf.fret.recipe import FRetRecipe

# Four candidates in the fused order c, a, b, d; the seed is a; the retriever's first is b.
JUDGED = Judged(
    "search result", "why", "a", list("abcd"), [2, 1, 3, None], [0.8, 0.9, 0.7, 0.2], [-3.0, -2.0, -1.0, -4.0],
    [[-1.0, -1.0, top] for top in (-1.0, -3.0, -2.0, -4.0)],
)  # fmt: skip
RANKING = fuse(JUDGED.ql, [grades[-1] for grades in JUDGED.grades], JUDGED.candidate_ids)
A, B, C, D = range(4)


def passage_of(name):
    return Passage(name, "", f"the text of passage {name}")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Label(C, D)),  # the paper: p_1 and p_N
        ({"positive": "seed"}, Label(A, D)),
        ({"positive": "ql"}, Label(C, D)),
        ({"positive": "rc"}, Label(A, D)),
        ({"positive": "retriever"}, Label(B, D)),
        ({"negative": "none"}, Label(C, None)),
        ({"negative": "rank", "negative_rank": 2}, Label(C, A)),
        ({"negative": "rank", "negative_rank": 2, "positive": "seed"}, Label(A, B)),  # the positive stands there itself
        ({"negative_margin": 0.95}, Label(C, D)),
        ({"negative_margin": 0.95, "negative": "rank", "negative_rank": 2}, Label(C, D)),  # a and b are too near
        ({"negative_margin": 0.9, "negative": "rank", "negative_rank": 4, "positive": "retriever"}, Label(B, D)),
        ({"negative_margin": 0.1}, Label(C, None)),
    ],
)
def test_positive_and_negative_come_from_the_ranking(options, expected):
    assert choose(RANKING, JUDGED, FRetRecipe(**options), 0) == expected


def test_a_seed_that_is_last_itself_leaves_the_one_before_it_as_the_negative():
    judged = dataclasses.replace(JUDGED, seed_id="d")
    assert choose(RANKING, judged, FRetRecipe(positive="seed"), 0) == Label(D, B)


class TestARandomNegative:
    RECIPE = FRetRecipe(negative="random")

    def test_is_never_the_positive_and_every_other_candidate_has_its_turn(self):
        queries = [dataclasses.replace(JUDGED, query=f"why {i}") for i in range(300)]
        drawn = Counter(choose(RANKING, judged, self.RECIPE, 0).negative for judged in queries)
        assert drawn.keys() == {A, B, D}
        assert min(drawn.values()) > 70

    def test_is_the_same_for_the_same_seed_and_query_whatever_was_drawn_before(self):
        again = [choose(RANKING, JUDGED, self.RECIPE, 7) for _ in range(5)]
        assert len(set(again)) == 1

    def test_keeps_to_the_margin(self):
        recipe = FRetRecipe(negative="random", negative_margin=0.9)
        assert choose(RANKING, JUDGED, recipe, 0).negative == D


def test_a_query_without_an_acceptable_negative_is_set_aside_with_the_gate_and_the_reason():
    row = label(JUDGED, FRetRecipe(negative_margin=0.1), 0, passage_of)
    assert row["set_aside"] == "margin: every other candidate scores above 0.1 of the positive's retrieval score"
    assert row["negative_id"] is None


def test_a_label_keeps_every_score_that_it_was_made_from():
    assert judged_of(label(JUDGED, FRetRecipe(), 0, passage_of) | {"llm": "x"}) == JUDGED


def test_a_positive_that_repeats_a_test_set_is_set_aside():
    tests = TestSets([("Exam", "The text of passage c!")])
    row = label(JUDGED, FRetRecipe(), 0, passage_of, tests)
    assert row["set_aside"] == "test passage: nearly identical to a text of Exam"
    assert label(JUDGED, FRetRecipe(positive="seed"), 0, passage_of, tests)["set_aside"] is None
