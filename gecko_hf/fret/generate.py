"""FRet step 1: an LLM reads a seed passage and writes a task and a query (paper, section 3.2)."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gecko_hf.corpus.passages import Passage
from gecko_hf.errors import ReplyError
from gecko_hf.llm.base import Annotator, PassagePrompt

_REPLY = re.compile(r"\s*Task:[ \t]*(?P<task>[^\n]+)\n+\s*Query:[ \t]*(?P<query>[^\n]+?)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GeneratedQuery:
    """A task and a query that were written for the passage `seed_id`."""

    seed_id: str
    task: str
    query: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A seed whose reply could not be used, and why."""

    seed_id: str
    reason: str


def parse_reply(reply: str) -> tuple[str, str]:
    """The task and the query of a reply.

    Raises:
        ReplyError: If the reply is not one `Task:` line followed by one `Query:` line, both with text.
    """
    match = _REPLY.fullmatch(reply)
    if not match:
        raise ReplyError(f"The reply {reply[:80]!r} is not a line 'Task: ...' followed by a line 'Query: ...'.")
    return match["task"].strip(), match["query"].strip()


def generate_queries(
    llm: Annotator, seeds: Sequence[Passage], tasks: Mapping[str, float], seed: int
) -> tuple[list[GeneratedQuery], list[Rejected]]:
    """Have the LLM write one (task, query) for each seed passage.

    Args:
        llm: The writer.
        seeds: The seed passages.
        tasks: Task -> weight; each seed draws the task that the LLM is asked for.
        seed: Seeds the draw.

    Returns:
        The queries in the order of the seeds, and the seeds whose replies did not parse.
    """
    draw = random.Random(seed)  # not security: seeded sampling
    asked = draw.choices(list(tasks), weights=list(tasks.values()), k=len(seeds))
    replies = llm.generate([PassagePrompt(p.id, p.title, p.text, task=t) for p, t in zip(seeds, asked, strict=True)])
    queries: list[GeneratedQuery] = []
    rejected: list[Rejected] = []
    for passage, reply in zip(seeds, replies, strict=True):
        try:
            queries.append(GeneratedQuery(passage.id, *parse_reply(reply)))
        except ReplyError as error:
            rejected.append(Rejected(passage.id, str(error)))
    return queries, rejected
