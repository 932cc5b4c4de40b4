"""Whose request is made ready next.

To make a request ready costs processor time, since its tokens are counted. Thousands made ready at once would leave the answers
to those on their way unread, and the server's places empty; made ready one by one, as places become free, none is late.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turns:
    """Lets so many callers in at a time, first come first served.

    Args:
        most: How many; asked each time, for it may change. At least 1.
    """

    def __init__(self, most: Callable[[], float]) -> None:
        self._most = most
        self.start_session()

    def start_session(self) -> None:
        """Begin anew, in the running event loop."""
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, which lasts until the block ends."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._let_in()
        try:
            await future
            yield
        finally:
            if future.done() and not future.cancelled():
                self._inside -= 1
                self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._inside < self._most():
            future = self._waiting.popleft()
            if not future.done():  # else its caller was cancelled
                self._inside += 1
                future.set_result(None)
