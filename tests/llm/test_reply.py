import pytest

from gecko_hf.errors import ReplyError
from gecko_hf.llm.reply import parse_reply


@pytest.mark.parametrize(
    "reply",
    ["Task: find it\nQuery: where?", "  task: find it\n\nquery:  where?  \n", "Task:\u00a0find it \r\nQuery:\twhere?"],
)
def test_a_reply_has_a_task_line_and_a_query_line(reply):
    assert parse_reply(reply) == ("find it", "where?")


@pytest.mark.parametrize(
    "reply",
    [
        "", "Query: where?", "Task: a\nQuery:", "Task: a\nQuery: b\nMore: c", "Task:\nQuery: b",
        "Task: a\nQuery: ", "Task: a\nQuery:\u00a0\t", "Task:  \nQuery: b", "Task: \r\nQuery: b",
    ],
)  # fmt: skip
def test_any_other_reply_is_refused_with_what_was_seen(reply):
    with pytest.raises(ReplyError, match="is not a line 'Task"):
        parse_reply(reply)


def test_half_of_a_character_is_refused_since_no_file_can_hold_it():
    with pytest.raises(ReplyError, match=r"holds half of a character") as refused:
        parse_reply("Task: find it\nQuery: where \ud83d")
    str(refused.value).encode()
