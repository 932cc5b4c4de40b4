"""What a FRet build will ask of its language model, computed from the recipe and a sample of its own text.

Every request of a build is known before it starts but for what the model itself writes: one P_QG a seed, and for each of N
candidates one P_QL and one P_RC a label. Tokens are those of real prompts over sampled passages. The length of the written
queries is that of the few-shot examples, or of a few real replies (a pilot), which are kept and not asked for again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.recipe import FRetRecipe
from gecko_hf.llm.base import RELEVANCE_LABELS, PassagePrompt
from gecko_hf.llm.budget import Usage
from gecko_hf.llm.fewshot import FewShotPrompts

SAMPLE = 256  # ours: passages whose prompts are counted
CHARACTERS_A_TOKEN = 4  # ours: a rule of thumb for English where no tokenizer is at hand
ANSWER_BYTES, SCORE_BYTES = 160, 21  # ours: an answer in the store, and each of its log-probabilities
LABELS = [f" {label}" for label in RELEVANCE_LABELS]
LABEL_BYTES = 130  # ours: ids, ranks and scores of a candidate in `labels`


@dataclass(frozen=True)
class StepPlan:
    """One of the three prompts: what is asked, and the prompt tokens that a prefix cache can serve.

    Attributes:
        name: The prompt.
        usage: Requests and tokens.
        shared: Prompt tokens that a server's prefix cache can serve: the few-shot head, which all requests of the step begin
            with, and for all labels but the first what the first one's prompt has in common with theirs.
    """

    name: str
    usage: Usage
    shared: int


@dataclass(frozen=True)
class FRetPlan:
    """Requests, tokens and bytes of a build."""

    seeds: int
    steps: tuple[StepPlan, ...]
    disk: int

    @property
    def total(self) -> Usage:
        """All steps together."""
        used = [step.usage for step in self.steps]
        return Usage(
            sum(u.requests for u in used), 0, sum(u.prompt_tokens for u in used), sum(u.completion_tokens for u in used)
        )

    def scaled(self, seeds: int) -> FRetPlan:
        """The plan for another number of seeds of the same kind of text."""
        by = seeds / self.seeds
        steps = (
            StepPlan(
                s.name,
                Usage(
                    round(s.usage.requests * by),
                    0,
                    round(s.usage.prompt_tokens * by),
                    round(s.usage.completion_tokens * by),
                ),
                round(s.shared * by),
            )
            for s in self.steps
        )
        return FRetPlan(seeds, tuple(steps), round(self.disk * by))


@dataclass(frozen=True)
class Reader:
    """A language model as a plan sees it.

    Attributes:
        prompts: The few-shot prompts that it reads.
        count: Tokens of a text as it counts them, special tokens in front included.
    """

    prompts: FewShotPrompts
    count: Callable[[str], int]


@dataclass(frozen=True)
class Written:
    """What a model was seen to write, or is taken to.

    Attributes:
        queries: Queries.
        tokens: Mean tokens of a reply.
        requests: Mean requests a seed: above 1 where replies did not parse and were asked for again.
        kept: Share of the seeds that gave a query.
    """

    queries: Sequence[str]
    tokens: float
    requests: float = 1.0
    kept: float = 1.0


def plan_fret(
    corpus: Sequence[Passage],
    seeds: Sequence[int],
    asked: Sequence[str | None],
    recipe: FRetRecipe,
    written: Written,
    writer: Reader | None,
    judge: Reader | None,
    seed: int,
    held_out: int = 0,
) -> FRetPlan:
    """Plan a build.

    Args:
        corpus: All passages.
        seeds: Rows of the seed passages.
        asked: The task that each seed is asked for.
        recipe: The `fret` block.
        written: What the writer writes.
        writer: The language model that writes; None where none is asked.
        judge: The language model that judges; None where none is asked.
        seed: Seeds the sample.
        held_out: Further passages whose queries are written for the yardstick, and not judged.
    """
    draw = random.Random(seed)
    sample = draw.sample(range(len(seeds)), min(SAMPLE, len(seeds)))
    # A candidate is a neighbour of a seed; over all seeds neighbours are as long as passages are.
    candidates = [_about(corpus[draw.randrange(len(corpus))], query=draw.choice(written.queries)) for _ in sample]
    pairs = round(len(seeds) * written.kept) * recipe.candidates
    steps: list[StepPlan] = []
    scores = 0.0
    if writer is not None:
        generation = [_about(corpus[seeds[i]], task=asked[i]) for i in sample]
        asking = _mean(writer.count, [writer.prompts.generation(g) for g in generation])
        writing = round((len(seeds) + held_out) * written.requests)
        steps.append(_step("P_QG", writing, asking, writer.count(writer.prompts.heads["p_qg"]), written.tokens))
    if judge is not None:
        steps.extend(_judging(judge, candidates, pairs, one_pass=recipe.one_pass))
        scores = _mean(judge.count, [f" {q}" for q in written.queries]) + sum(judge.count(label) for label in LABELS)
    answers = sum(step.usage.requests for step in steps) * ANSWER_BYTES + pairs * scores * SCORE_BYTES
    return FRetPlan(len(seeds), tuple(steps), round(answers + pairs * LABEL_BYTES))


def _judging(judge: Reader, candidates: Sequence[PassagePrompt], pairs: int, *, one_pass: bool) -> Iterator[StepPlan]:
    """P_QL and P_RC of this many pairs, as long as the sampled ones."""
    prompts, count = judge.prompts, judge.count
    if not one_pass:
        likelihood = _mean(count, [f"{prompts.likelihood(c)} {c.query}" for c in candidates])
        yield _step("P_QL", pairs, likelihood, count(prompts.heads["p_ql"]))
    relevance = fmean(_mean(count, [prompts.relevance(c) + label for c in candidates]) for label in LABELS)
    before, head = _mean(count, [prompts.relevance(c) for c in candidates]), count(prompts.heads["p_rc"])
    yield _step("P_RC", pairs * len(LABELS), relevance, head + (before - head) * (1 - 1 / len(LABELS)))


def _about(passage: Passage, *, task: str | None = None, query: str | None = None) -> PassagePrompt:
    return PassagePrompt(passage.id, passage.title, passage.text, task=task, query=query)


def _mean(count: Callable[[str], int], texts: Sequence[str]) -> float:
    return fmean(count(text) for text in texts)


def _step(name: str, requests: int, tokens: float, shared: float, completion: float = 0.0) -> StepPlan:
    usage = Usage(requests, 0, round(requests * tokens), round(requests * completion))
    return StepPlan(name, usage, round(requests * shared))
