import pytest

from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.generate import draw_tasks, generate_queries


class Scripted:
    """An LLM that answers by the task it is asked for, and badly for the passage `bad`."""

    def generate(self, prompts, *, told):
        return [f"Task: {p.task}\nQuery: about {p.key}" if p.key != "bad" else "no idea" for p in prompts]


def test_unusable_replies_are_set_aside_with_the_reason_and_the_rest_stays_in_order():
    seeds = [Passage(i, "", "text") for i in ("a", "bad", "c")]
    queries, rejected = generate_queries(Scripted(), seeds, ["search result"] * 3)
    assert [(q.seed_id, q.query) for q in queries] == [("a", "about a"), ("c", "about c")]
    assert [r.seed_id for r in rejected] == ["bad"]
    assert "no idea" in rejected[0].reason


def test_a_task_and_a_query_are_one_line_whatever_separates_their_words():
    class Spaced:
        def generate(self, prompts, *, told):
            return ["Task: find\u2028it\nQuery: where\u2029is \u0085 the\tbread"]

    (query,), _ = generate_queries(Spaced(), [Passage("a", "", "text")], [None])
    assert (query.task, query.query) == ("find it", "where is the bread")


TABLE = {"often": 3.0, "seldom": 1.0, "never": 0.0}


def test_tasks_are_asked_for_by_their_weights():
    asked = draw_tasks(TABLE, "table", 2000, seed=0)
    assert asked.count("often") / 2000 == pytest.approx(0.75, abs=0.04)
    assert set(asked) == {"often", "seldom"}


def test_uniform_gives_every_task_of_the_table_the_same_weight():
    asked = draw_tasks(TABLE, "uniform", 3000, seed=0)
    assert all(asked.count(task) == pytest.approx(1000, rel=0.1) for task in TABLE)


def test_original_asks_for_none_so_that_the_writer_names_the_task():
    assert draw_tasks(TABLE, "original", 3, seed=0) == [None] * 3


def test_more_seeds_leave_the_tasks_of_the_first_ones_as_they_are():
    assert draw_tasks(TABLE, "table", 50, seed=4)[:20] == draw_tasks(TABLE, "table", 20, seed=4)
