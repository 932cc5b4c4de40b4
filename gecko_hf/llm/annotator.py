"""Any language model as FRet's writer and judge, through the three few-shot prompts."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from gecko_hf.errors import BudgetError, ReplyError
from gecko_hf.llm.base import Capability, Judgement, LanguageModel, PassagePrompt, Sampling, Told
from gecko_hf.llm.fewshot import FewShotPrompts
from gecko_hf.llm.reply import parse_reply
from gecko_hf.llm.spans import score_all

Item = TypeVar("Item")
Result = TypeVar("Result")
WINDOW = 512  # ours: passages that are asked about at once; the model bounds what is in flight
TOGETHER = 16  # ours: items that are begun between two looks at what was answered
RETRY_TEMPERATURE = 0.7  # ours: the least for a second try, since a greedy one would say the same again


class PromptedAnnotator:
    """P_QG, P_QL and P_RC asked of one language model.

    A reply that does not parse is asked for once more with another seed; if that does not parse either it is returned as
    it is, and whoever parses it sets the passage aside with the reason.

    Args:
        model: The language model; opened for the time of each call.
        prompts: The few-shot prompts.
        sampling: How queries are drawn; its seed is replaced by one for each passage.
        seed: Seeds the draws, together with each passage's key.
    """

    def __init__(self, model: LanguageModel, prompts: FewShotPrompts, sampling: Sampling, *, seed: int = 0) -> None:
        self.model = model
        self.prompts = prompts
        self.sampling = sampling
        self.seed = seed

    @property
    def id(self) -> str:
        """The model's id."""
        return self.model.id

    @property
    def revision(self) -> str:
        """The model's revision."""
        return self.model.revision

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the model can do."""
        return self.model.capabilities

    @property
    def settings(self) -> dict[str, Any]:
        """Sampling, seed and the hashes of the prompts."""
        return {
            "sampling": {k: v for k, v in asdict(self.sampling).items() if k != "seed"},
            "seed": self.seed,
            "prompts": dict(self.prompts.hashes),
        }

    def generate(self, prompts: Sequence[PassagePrompt], *, told: Told | None = None) -> list[str]:
        """P_QG: a reply for each passage, `Task: ...` and `Query: ...` on two lines wherever the model kept to it."""
        return self._each(self._write, prompts, told)

    def judge(
        self,
        prompts: Sequence[PassagePrompt],
        labels: Sequence[str],
        *,
        one_pass: bool = False,
        told: Told | None = None,
    ) -> list[Judgement]:
        """P_QL and P_RC: the mean log-likelihood of each query's tokens given its passage, and each label's behind both.

        The requests of a pair go out together, so that no prompt of one kind waits for the last of the other.

        Args:
            prompts: Passages, each with its query.
            labels: Relevance labels, worst first.
            one_pass: Whether QL comes from P_RC too, whose text holds the query: one request less of each pair. It is then
                the likelihood behind P_RC's head instead of P_QL's (ours; the paper has two prompts).
            told: Is told after each pair how many there are.

        Raises:
            ValueError: If a prompt has no query.
        """

        async def scores(prompt: PassagePrompt) -> Judgement:
            before, query = self.prompts.relevance_parts(prompt)
            text = self.prompts.relevance(prompt, apart=one_pass)
            texts = [f"{text} {label}" for label in labels]
            spans = [[(len(text), len(whole))] for whole in texts]
            if one_pass:
                spans[0].append((len(before), len(before) + len(query)))
            else:
                before = self.prompts.likelihood(prompt)
                texts.append(before + query)
                spans.append([(len(before), len(before) + len(query))])
            scored = await score_all(self.model, texts, spans)
            of_query = scored[0 if one_pass else -1].spans[-1]
            return Judgement(of_query.mean, tuple(score.spans[0].total for score in scored[: len(labels)]))

        return self._each(scores, prompts, told)

    async def _write(self, prompt: PassagePrompt) -> str:
        stop = ("\n",) if prompt.task else ("\n\n",)
        reply = ""
        for attempt in range(2):
            temperature = max(self.sampling.temperature, RETRY_TEMPERATURE if attempt else 0.0)
            sampling = replace(
                self.sampling, temperature=temperature, stop=stop, seed=self._seed_of(prompt.key, attempt)
            )
            done = await self.model.generate(self.prompts.generation(prompt), sampling)
            reply = f"Task: {prompt.task}\nQuery:{done.text}" if prompt.task else f"Task:{done.text}"
            if done.finish_reason == "length":  # half a query is none
                reply = f"(cut after {done.completion_tokens} tokens) {reply}"
            try:
                task, query = parse_reply(reply)
            except ReplyError:
                continue
            return f"Task: {task}\nQuery: {query}"
        return reply

    def _seed_of(self, key: str, attempt: int) -> int:
        digest = hashlib.sha256(f"{self.seed}:{key}:{attempt}".encode()).digest()
        return int.from_bytes(digest[:4]) % (2**31 - 1) + 1  # positive and 31 bit, which every server takes

    def _each(self, ask: Callable[[Item], Awaitable[Result]], items: Sequence[Item], told: Told | None) -> list[Result]:
        async def session() -> list[Result]:
            async with self.model:
                return await map_in_order(ask, items, told=told)

        return asyncio.run(session())


async def map_in_order(
    ask: Callable[[Item], Awaitable[Result]],
    items: Sequence[Item],
    window: int = WINDOW,
    *,
    told: Told | None = None,
) -> list[Result]:
    """Ask for every item, `window` of them waiting at a time; results in the order of the items.

    Items are begun a few at a time: what each does before it first waits (its prompt is written, the store is asked) adds up.
    The first error ends the others and is raised; a spent budget lets them have what is already on its way.
    """
    results: list[Any] = [None] * len(items)
    todo, answered = iter(enumerate(items)), itertools.count(1)

    async def worker() -> None:
        for i, item in todo:
            results[i] = await ask(item)
            if told:
                told(next(answered))

    workers: list[asyncio.Task[None]] = []
    try:
        for count in range(1, min(window, len(items)) + 1):
            workers.append(asyncio.create_task(worker()))
            if count % TOGETHER == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*workers)
    except BudgetError:
        await asyncio.gather(*workers, return_exceptions=True)  # each stops at its next request
        raise
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return results
