"""Tokens of texts as the served model reads them: counted by its own tokenizer, or asked of the server."""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gecko_hf.errors import LLMError
from gecko_hf.llm.checkpoint import find_checkpoint

Counter = Callable[[list[str]], list[list[int]]]
KEPT = 4096  # prefixes; the labels of one prompt share theirs, and the queries of one passage


class Tokens:
    """Counts in a thread beside the event loop, which reads answers meanwhile; one thread, for a tokenizer is not to be shared.

    Args:
        tokenizer: The model's tokenizer; None where the server is asked.
        ask: Asks the server.
    """

    def __init__(self, tokenizer: Any | None, ask: Callable[[str], Awaitable[list[int]]]) -> None:
        self._count = None if tokenizer is None else counter(tokenizer)
        self._ask = ask
        self._kept: OrderedDict[str, list[int]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[list[int]]] = {}
        self._waiting: list[tuple[str, asyncio.Future[list[int]]]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokens")  # started by the first text

    async def of(self, text: str) -> list[int]:
        """The tokens of a text, special tokens in front included."""
        if self._count is None:
            return await self._ask(text)
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, future))
        if len(self._waiting) == 1:
            future.get_loop().call_soon(self._count_waiting, self._count)
        return await future

    async def of_prefix(self, text: str) -> list[int]:
        """The same for what many texts begin with: kept, and counted once for all who ask at the same time."""
        if text in self._kept:
            return self._kept[text]
        task = self._asked.get(text)
        if task is None:
            task = self._asked[text] = asyncio.ensure_future(self.of(text))
            task.add_done_callback(lambda done: self._settle(text, done))
        return await asyncio.shield(task)  # one who is cancelled does not cancel it for the others

    async def end_session(self) -> None:
        """End what is still being asked: whoever waited for it is gone."""
        left = list(self._asked.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _count_waiting(self, count: Counter) -> None:
        """Count together what was asked in one turn of the event loop: each trip to the thread costs its own time."""
        waiting, self._waiting = self._waiting, []
        texts = [text for text, _ in waiting]
        job = asyncio.get_running_loop().run_in_executor(self._thread, count, texts)
        job.add_done_callback(lambda done: _give([future for _, future in waiting], done))

    def _settle(self, text: str, task: asyncio.Task[list[int]]) -> None:
        del self._asked[text]
        if not task.cancelled() and task.exception() is None:
            self._kept[text] = task.result()
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)


def _give(futures: list[asyncio.Future[list[int]]], done: asyncio.Future[list[list[int]]]) -> None:
    error = done.exception()
    for i, future in enumerate(futures):
        if future.done():  # its caller was cancelled
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(done.result()[i])


def counter(tokenizer: Any) -> Counter:
    """What gives the tokens of texts: `input_ids` of the tokenizer, without the offsets that nobody reads here.

    They are half of the time that a text of 330 tokens takes.
    """
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:  # one in Python
        return lambda texts: [list(tokenizer(text)["input_ids"]) for text in texts]
    fast.no_truncation()
    fast.no_padding()
    return lambda texts: [found.ids for found in fast.encode_batch_fast(texts)]


def load_tokenizer(path: str) -> Any:
    """A model's tokenizer, from a folder, a Hub id or a GGUF file.

    Raises:
        LLMError: If none loads from there.
    """
    from transformers import AutoTokenizer

    found = find_checkpoint(path)
    try:
        return AutoTokenizer.from_pretrained(found.place, **found.options(None))
    except (OSError, ValueError, ImportError, struct.error) as error:  # the last: a GGUF file that ends in its header
        raise LLMError(f"llm.tokenizer {path} cannot be loaded: {' '.join(str(error).split())[:200]}") from error
