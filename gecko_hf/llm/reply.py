"""The form of a P_QG reply: a line with the task, a line with the query."""

from __future__ import annotations

import re

from gecko_hf.errors import ReplyError

# Either text begins with a sign: the blanks before it could else be taken for it.
_REPLY = re.compile(r"\s*Task:[^\S\n]*(?P<task>\S[^\n]*)\n\s*Query:[^\S\n]*(?P<query>\S[^\n]*?)\s*", re.IGNORECASE)
_HALF = re.compile(r"[\ud800-\udfff]")


def parse_reply(reply: str) -> tuple[str, str]:
    """The task and the query of a reply.

    Raises:
        ReplyError: If the reply is not one `Task:` line followed by one `Query:` line, both with text, or holds half of a
            character, which cannot be written to a file.
    """
    if _HALF.search(reply):
        raise ReplyError(f"The reply {reply[:80]!r} holds half of a character (a lone surrogate).")
    match = _REPLY.fullmatch(reply)
    if not match:
        raise ReplyError(f"The reply {reply[:80]!r} is not a line 'Task: ...' followed by a line 'Query: ...'.")
    return match["task"].strip(), match["query"].strip()
