"""FRet step 1: an LLM reads a seed passage and writes a task and a query (paper, section 3.2)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gecko_hf.corpus.passages import Passage
from gecko_hf.errors import ReplyError
from gecko_hf.llm.base import Annotator, PassagePrompt, Told
from gecko_hf.llm.fewshot import one_line
from gecko_hf.llm.reply import parse_reply


@dataclass(frozen=True, slots=True)
class GeneratedQuery:
    """A task and a query, each one line, that were written for the passage `seed_id`."""

    seed_id: str
    task: str
    query: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A seed that gives no row: the reason, with the name of its gate before a colon, and the query if there was one."""

    seed_id: str
    reason: str
    query: str | None = None

    @property
    def gate(self) -> str:
        """What refused it."""
        return self.reason.partition(":")[0]


def draw_tasks(
    tasks: Mapping[str, float], distribution: Literal["table", "uniform", "original"], count: int, seed: int
) -> list[str | None]:
    """The task that each of `count` seeds is asked for.

    Args:
        tasks: Task -> weight.
        distribution: `table` draws by the weights, `uniform` gives every task of the table the same weight, `original` asks
            for none, so that the writer names a task itself.
        count: Number of seeds.
        seed: Seeds the draw; more seeds leave the tasks of the first ones as they are.
    """
    if distribution == "original":
        return [None] * count
    weights = [1.0] * len(tasks) if distribution == "uniform" else list(tasks.values())
    return list(random.Random(seed).choices(list(tasks), weights=weights, k=count))  # not security: seeded sampling


def generate_queries(
    llm: Annotator, seeds: Sequence[Passage], asked: Sequence[str | None], *, told: Told | None = None
) -> tuple[list[GeneratedQuery], list[Rejected]]:
    """Have the LLM write one (task, query) for each seed passage.

    Args:
        llm: The writer.
        seeds: The seed passages.
        asked: For each seed the task that the LLM is asked for; None lets it name one itself.
        told: Is told how many replies there are.

    Returns:
        The queries in the order of the seeds, and the seeds whose replies did not parse.
    """
    prompts = [PassagePrompt(p.id, p.title, p.text, task=t) for p, t in zip(seeds, asked, strict=True)]
    replies = llm.generate(prompts, told=told)
    queries: list[GeneratedQuery] = []
    rejected: list[Rejected] = []
    for passage, reply in zip(seeds, replies, strict=True):
        try:
            queries.append(GeneratedQuery(passage.id, *map(one_line, parse_reply(reply))))
        except ReplyError as error:
            rejected.append(Rejected(passage.id, f"reply: {error}"))
    return queries, rejected
