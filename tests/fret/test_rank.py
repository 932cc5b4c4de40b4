"""Ranking and fusion against Appendix A of the paper."""

import itertools
import math

import pytest

from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.rank import Judgement, fuse, judge, ranks, relevance


def test_fusion_is_the_sum_of_reciprocal_ranks_without_a_constant():
    rows = fuse([-1, -2, -3], [-3, -1, -2], ["a", "b", "c"])
    assert {r.index: r.fused for r in rows} == {
        0: pytest.approx(1 / 1 + 1 / 3),
        1: pytest.approx(1 / 2 + 1 / 1),
        2: pytest.approx(1 / 3 + 1 / 2),
    }
    assert [r.index for r in rows] == [1, 0, 2]


def test_the_winner_is_always_the_top_of_one_of_the_two_rankings():
    """A candidate that leads neither ranking scores at most 1/2 + 1/2; a leader scores more than 1."""
    scores = [-1.0, -2.0, -3.0, -4.0]
    for order in itertools.permutations(scores):
        best = fuse(scores, order, list("abcd"))[0]
        assert 1 in (best.ql_rank, best.rc_rank)


def test_mirrored_ranks_tie_and_the_better_query_likelihood_wins():
    rows = fuse([-1, -2], [-2, -1], ["z", "a"])
    assert rows[0].fused == rows[1].fused
    assert rows[0].index == 0


def test_equal_scores_are_ordered_by_id():
    assert ranks([0.5, 0.5, 0.9], ["b", "a", "c"]) == [3, 2, 1]


class Echo:
    """Scores a passage by its length, so that each score can be told apart."""

    def judge(self, prompts, labels, *, one_pass=False, told=None):
        return [
            Judgement(-len(p.text) - len(p.query) / 100, (-9.0, -8.0, -float(len(p.text + p.query)))) for p in prompts
        ]


def test_every_candidate_gets_its_own_scores():
    passages = [[Passage("a", "", "x"), Passage("b", "", "xx")], [Passage("c", "", "xxx")]]
    scores = judge(Echo(), ["q", "qq"], passages)
    assert scores == [
        [Judgement(-1.01, (-9.0, -8.0, -2.0)), Judgement(-2.01, (-9.0, -8.0, -3.0))],
        [Judgement(-3.02, (-9.0, -8.0, -5.0))],
    ]


def test_pairs_are_asked_about_passage_by_passage():
    """So a server's prefix cache keeps a passage no longer than it is needed."""
    asked = []

    class Recorder(Echo):
        def judge(self, prompts, labels, **how):
            asked.extend((p.key, p.query) for p in prompts)
            return super().judge(prompts, labels, **how)

    a, b = Passage("a", "", "x"), Passage("b", "", "xx")
    scores = judge(Recorder(), ["q", "qq"], [[b, a], [a, b]])
    assert asked == [("a", "q"), ("a", "qq"), ("b", "q"), ("b", "qq")]
    assert [[s.ql for s in row] for row in scores] == [[-2.01, -1.01], [-1.02, -2.02]]


def test_peak_relevance_is_the_log_likelihood_of_the_top_label():
    assert relevance((-3.0, -2.0, -1.0), "peak") == -1.0


def test_expected_relevance_is_the_mean_grade_under_a_softmax_over_the_labels():
    assert relevance((math.log(0.1), math.log(0.2), math.log(0.1)), "expected") == pytest.approx(1.0)
    assert relevance((-1000.0, -1000.0, -990.0), "expected") == pytest.approx(2.0, abs=1e-3)
