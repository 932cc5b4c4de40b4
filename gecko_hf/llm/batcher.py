"""Requests that are awaited at the same time, run together: batches of like length under a budget of tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Batcher(Generic[Item, Result]):
    """Gathers single requests into batches for a function that works on many.

    Attributes:
        work: Runs one batch; results in the order of its items.
        size: Tokens of an item; a batch is padded to its largest.
        budget: Most tokens in a batch, padding included; an item above it runs alone.
        group: Items of different groups never share a batch.
    """

    work: Callable[[list[Item]], Sequence[Result]]
    size: Callable[[Item], int]
    budget: int
    group: Callable[[Item], Hashable] = lambda _: None

    async def run(self, items: Sequence[Item], done: list[asyncio.Future[Result]]) -> None:
        """Run items batch by batch and settle their futures; the longest first, so that memory runs out early or never."""
        for batch in self._batches(items):
            await asyncio.sleep(0)  # lets Ctrl-C and other tasks in between two batches
            try:
                results = self.work([items[i] for i in batch])
            except Exception as error:  # whoever waits for these items hears of it
                for i in batch:
                    _settle(done[i], error)
            else:
                for i, result in zip(batch, results, strict=True):
                    if not done[i].done():
                        done[i].set_result(result)

    def _batches(self, items: Sequence[Item]) -> list[list[int]]:
        batches: list[list[int]] = []
        groups: dict[Hashable, list[int]] = {}
        for i in sorted(range(len(items)), key=lambda i: -self.size(items[i])):
            batch = groups.get(self.group(items[i]))
            if batch is None or (len(batch) + 1) * self.size(items[batch[0]]) > self.budget:
                batch = groups[self.group(items[i])] = []
                batches.append(batch)
            batch.append(i)
        return batches


class Gathered(Generic[Item, Result]):
    """A batcher's front: `await submit(item)`; what is submitted in the same turn of the event loop runs together."""

    def __init__(self, batcher: Batcher[Item, Result]) -> None:
        self._batcher = batcher
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The result of one item, once its batch has run."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        await asyncio.sleep(0)  # everybody who was started together has submitted by then
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            await self._batcher.run([item for item, _ in waiting], [future for _, future in waiting])


def _settle(future: asyncio.Future[Result], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
