import pytest

from gecko_hf.corpus.passages import Passage
from gecko_hf.errors import ReplyError
from gecko_hf.fret.generate import generate_queries, parse_reply


@pytest.mark.parametrize("reply", ["Task: find it\nQuery: where?", "  task: find it\n\nquery:  where?  \n"])
def test_a_reply_has_a_task_line_and_a_query_line(reply):
    assert parse_reply(reply) == ("find it", "where?")


@pytest.mark.parametrize(
    "reply", ["", "Query: where?", "Task: a\nQuery:", "Task: a\nQuery: b\nMore: c", "Task:\nQuery: b"]
)
def test_any_other_reply_is_refused_with_what_was_seen(reply):
    with pytest.raises(ReplyError, match="is not a line 'Task"):
        parse_reply(reply)


class Scripted:
    """An LLM that answers by the task it is asked for, and badly for the passage `bad`."""

    def generate(self, prompts):
        return [f"Task: {p.task}\nQuery: about {p.key}" if p.key != "bad" else "no idea" for p in prompts]


def test_unusable_replies_are_set_aside_with_the_reason_and_the_rest_stays_in_order():
    seeds = [Passage(i, "", "text") for i in ("a", "bad", "c")]
    queries, rejected = generate_queries(Scripted(), seeds, {"search result": 1.0}, seed=0)
    assert [(q.seed_id, q.query) for q in queries] == [("a", "about a"), ("c", "about c")]
    assert [r.seed_id for r in rejected] == ["bad"]
    assert "no idea" in rejected[0].reason


def test_tasks_are_asked_for_by_their_weights():
    seeds = [Passage(str(i), "", "text") for i in range(2000)]
    queries, _ = generate_queries(Scripted(), seeds, {"often": 3.0, "seldom": 1.0, "never": 0.0}, seed=0)
    share = sum(q.task == "often" for q in queries) / 2000
    assert share == pytest.approx(0.75, abs=0.04)
    assert {q.task for q in queries} == {"often", "seldom"}
