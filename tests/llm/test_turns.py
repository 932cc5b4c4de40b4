"""Requests are made ready one by one, as places become free."""

import asyncio

import pytest

from gecko_hf.llm.endpoints.turns import Turns


class Room:
    """Callers of a `Turns` that stay inside until they are told to leave."""

    def __init__(self, most):
        self.most = most
        self.turns = Turns(lambda: self.most)
        self.inside: list[int] = []
        self.leave: dict[int, asyncio.Event] = {}

    def enter(self, name):
        self.leave[name] = asyncio.Event()

        async def stay():
            async with self.turns.turn():
                self.inside.append(name)
                try:
                    await self.leave[name].wait()
                finally:
                    self.inside.remove(name)

        return asyncio.create_task(stay())

    async def after(self, *names):
        for name in names:
            self.leave[name].set()
        for _ in range(5):
            await asyncio.sleep(0)
        return self.inside


def test_those_who_came_first_are_let_in_first_and_no_more_than_there_is_room_for():
    async def session():
        room = Room(2)
        tasks = [room.enter(name) for name in range(5)]
        assert await room.after() == [0, 1]
        assert await room.after(1) == [0, 2]
        assert await room.after(0, 2) == [3, 4]
        await room.after(3, 4)
        await asyncio.gather(*tasks)

    asyncio.run(session())


def test_room_that_grows_is_used_when_the_next_one_leaves():
    async def session():
        room = Room(1)
        tasks = [room.enter(name) for name in range(4)]
        assert await room.after() == [0]
        room.most = 3
        assert await room.after(0) == [1, 2, 3]
        await room.after(1, 2, 3)
        await asyncio.gather(*tasks)

    asyncio.run(session())


@pytest.mark.parametrize("cancelled", [0, 1], ids=["inside", "waiting"])
def test_a_caller_that_is_cancelled_keeps_no_place(cancelled):
    async def session():
        room = Room(1)
        tasks = [room.enter(name) for name in range(3)]
        await room.after()
        tasks[cancelled].cancel()
        left = [name for name in range(3) if name != cancelled]
        assert await room.after() == left[:1]
        assert await room.after(left[0]) == left[1:]
        await room.after(left[1])
        await asyncio.gather(*tasks, return_exceptions=True)
        assert room.turns._inside == 0

    asyncio.run(session())


def test_a_caller_that_fails_makes_room():
    async def session():
        turns = Turns(lambda: 1)
        for _ in range(2):
            with pytest.raises(ValueError, match="bad"):
                async with turns.turn():
                    raise ValueError("bad")

    asyncio.run(session())
