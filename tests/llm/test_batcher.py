"""Requests that are awaited together run in batches of like length."""

import asyncio

import pytest

from gecko_hf.llm.batcher import Batcher, Gathered


def gathered(batches: list, budget: int = 12, work=None) -> Gathered:
    def record(batch: list[str]) -> list[str]:
        batches.append(batch)
        return [text.upper() for text in batch]

    return Gathered(Batcher(work or record, len, budget, group=lambda text: text[0]))


def ask(front: Gathered, items: list[str], **how):
    async def run():
        return await asyncio.gather(*(front.submit(i) for i in items), **how)

    return asyncio.run(run())


def test_everybody_gets_their_own_answer_and_no_batch_exceeds_the_budget_with_its_padding():
    batches: list = []
    items = ["a" * n for n in (1, 6, 2, 5, 3, 4, 1)]
    assert ask(gathered(batches), items) == [i.upper() for i in items]
    assert all(len(b) * max(map(len, b)) <= 12 for b in batches)
    assert [len(b[0]) for b in batches] == sorted((len(b[0]) for b in batches), reverse=True)
    assert len(batches) == 3  # 6+5, 4+3+2, 1+1: padded 12, 12, 2


def test_groups_do_not_mix_and_a_large_item_runs_alone():
    batches: list = []
    ask(gathered(batches), ["a", "b" * 40, "a", "b"])
    assert sorted(batches) == [["a", "a"], ["b"], ["b" * 40]]


def test_an_error_reaches_those_who_wait_for_that_batch_and_no_others():
    def work(batch):
        if batch[0].startswith("x"):
            raise ValueError("no memory")
        return batch

    good, bad = ask(gathered([], work=work), ["a", "x"], return_exceptions=True)
    assert good == "a"
    assert isinstance(bad, ValueError)


def test_a_second_event_loop_may_use_the_same_front():
    front = gathered([])
    assert ask(front, ["a"]) == ["A"]
    assert ask(front, ["b"]) == ["B"]


def test_a_caller_who_left_does_not_disturb_the_others():
    async def run():
        front = gathered([])
        gone = asyncio.create_task(front.submit("aa"))
        kept = asyncio.create_task(front.submit("a"))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await kept

    assert asyncio.run(run()) == "A"
