"""Tokens of texts: counted beside the event loop, and once for all who ask for the same prefix."""

import asyncio
import threading
import time

import pytest

from gecko_hf.errors import LLMError
from gecko_hf.llm.endpoints import tokens as tokens_module
from gecko_hf.llm.endpoints.tokens import Tokens, counter, load_tokenizer


class Words:
    """A slow tokenizer that notes in which thread it was asked for what, and whether anybody else was asking."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.asked = []
        self.threads = set()
        self.inside = 0

    def __call__(self, text):
        self.inside += 1
        assert self.inside == 1, "two threads at a time"
        time.sleep(self.seconds)
        self.asked.append(text)
        self.threads.add(threading.current_thread())
        self.inside -= 1
        return {"input_ids": [len(word) for word in text.split()]}


async def nobody(text):
    raise AssertionError(f"the server was asked for {text!r}")


def test_the_event_loop_goes_on_while_texts_are_counted_by_one_thread():
    words = Words(seconds=0.05)

    async def session():
        tokens, beats = Tokens(words, nobody), 0

        async def beat():
            nonlocal beats
            while True:
                await asyncio.sleep(0.005)
                beats += 1

        heart = asyncio.create_task(beat())
        found = await asyncio.gather(*(tokens.of(text) for text in ("a bc", "def", "g")))
        heart.cancel()
        return found, beats

    found, beats = asyncio.run(session())
    assert found == [[1, 2], [3], [1]]
    assert beats >= 5
    assert len(words.threads) == 1
    assert threading.main_thread() not in words.threads


@pytest.mark.parametrize("text", ["", "bread", "bread [SEP] oven", "bread oven " * 40, "é\u0301 unknown"])
def test_tokens_are_those_of_the_tokenizer_and_never_cut(tiny_model_path, tmp_path, text):
    saved = load_tokenizer(str(tiny_model_path))
    saved.backend_tokenizer.enable_truncation(8)
    saved.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    assert counter(tokenizer)([text, "oven"]) == [tokenizer(text)["input_ids"], tokenizer("oven")["input_ids"]]
    assert len(tokenizer("bread oven " * 40)["input_ids"]) == 82


@pytest.mark.parametrize("own", [True, False], ids=["own tokenizer", "server"])
def test_a_prefix_is_counted_once_for_all_who_ask_and_then_kept(own):
    words = Words()

    async def ask(text):
        await asyncio.sleep(0.01)
        return words(text)["input_ids"]

    async def session():
        tokens = Tokens(words, nobody) if own else Tokens(None, ask)
        first = await asyncio.gather(*(tokens.of_prefix("ab c") for _ in range(3)))
        return [*first, await tokens.of_prefix("ab c")]

    assert asyncio.run(session()) == [[2, 1]] * 4
    assert words.asked == ["ab c"]


def test_only_the_latest_prefixes_are_kept(monkeypatch):
    monkeypatch.setattr(tokens_module, "KEPT", 2)
    words = Words()

    async def session():
        tokens = Tokens(words, nobody)
        for text in ("a", "b", "c", "c", "a"):
            await tokens.of_prefix(text)

    asyncio.run(session())
    assert words.asked == ["a", "b", "c", "a"]


def test_one_who_is_cancelled_takes_nothing_from_the_others():
    words = Words(seconds=0.05)

    async def session():
        tokens = Tokens(words, nobody)
        tasks = [asyncio.create_task(tokens.of_prefix("a")) for _ in range(2)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        return await tasks[1]

    assert asyncio.run(session()) == [1]


def test_a_tokenizer_that_fails_fails_for_whoever_asked_and_goes_on():
    class Picky(Words):
        def __call__(self, text):
            if text == "bad":
                raise ValueError("no such word")
            return super().__call__(text)

    async def session():
        tokens = Tokens(Picky(), nobody)
        with pytest.raises(ValueError, match="no such word"):
            await tokens.of("bad")
        return await tokens.of("ab")

    assert asyncio.run(session()) == [2]


def test_what_is_asked_when_a_session_ends_is_not_waited_for_in_the_next():
    answers = iter([asyncio.Event().wait, None])

    async def ask(_):
        wait = next(answers)
        if wait:
            await wait()
        return [7]

    async def session():
        tokens = Tokens(None, ask)
        task = asyncio.create_task(tokens.of_prefix("a"))
        await asyncio.sleep(0.01)
        task.cancel()
        await tokens.end_session()
        return await tokens.of_prefix("a")

    assert asyncio.run(session()) == [7]


def test_a_failure_is_everybodys_and_is_not_kept():
    answers = [LLMError("no route"), [7]]

    async def ask(_):
        await asyncio.sleep(0)
        answer = answers.pop(0)
        if isinstance(answer, LLMError):
            raise answer
        return answer

    async def session():
        tokens = Tokens(None, ask)
        failed = await asyncio.gather(*(tokens.of_prefix("a") for _ in range(2)), return_exceptions=True)
        return failed, await tokens.of_prefix("a")

    failed, later = asyncio.run(session())
    assert [str(error) for error in failed] == ["no route", "no route"]
    assert later == [7]
