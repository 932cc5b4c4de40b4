"""Requests to one or several endpoints: retried, bounded, spread, and given up in time.

A request that fails in a way that may pass (refusal, 5xx, time-out, dropped connection, an answer that is none) is sent again
after a wait with jitter, to whichever endpoint has room, first to those that did not fail just now. `Retry-After` rests the
endpoint that said it. An endpoint that fails again and again rests too, so that others take its share. Where nothing has
succeeded for `give_up` seconds the run ends; where others are answered, a request that goes on failing ends it.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from gecko_hf.errors import EndpointError
from gecko_hf.llm.endpoints.limiter import START, Limiter

Result = TypeVar("Result")
ATTEMPTS = 20  # ours: of one request while others succeed
WAIT, LONGEST_WAIT = 0.05, 30.0  # ours: seconds before the second attempt, doubled each time, and the most
FAILURES_TO_REST = 8  # ours: in a row
JUST_NOW = LONGEST_WAIT  # an endpoint that failed comes last for as long as a request may wait to be sent again


class Failure(Exception):
    """A request failed in a way that may pass.

    Attributes:
        reason: What was seen.
        kind: The reason without what differs from one failure to the next.
        refused: Whether the endpoint said that it has no room.
        retry_after: Seconds that the endpoint asked to be left alone.
    """

    def __init__(
        self, reason: str, *, kind: str | None = None, refused: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason, self.kind = reason, kind or re.sub(r"\d+", "N", reason)
        self.refused, self.retry_after = refused, retry_after


@dataclass
class Endpoint:
    """One URL, and what is known of it."""

    url: str
    limiter: Limiter
    rests_until: float = 0.0
    failures: int = 0  # in a row
    failed_at: float = -math.inf  # the last of them, refusals included


@dataclass
class Traffic:
    """What the transport saw: requests answered, sent again, and refused, and how many failures of each kind."""

    answered: int = 0
    retried: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Transport:
    """Sends requests to endpoints.

    Args:
        urls: The endpoints' base URLs.
        concurrency: Most requests in flight at one endpoint.
        give_up: Seconds without any success after which the run ends.
        attempts: Attempts at one request while others succeed.
    """

    def __init__(self, urls: Sequence[str], *, concurrency: int, give_up: float, attempts: int = ATTEMPTS) -> None:
        self.endpoints = [Endpoint(url, Limiter(concurrency)) for url in urls]
        self.give_up = give_up
        self.attempts = attempts
        self.traffic = Traffic()
        self._waiting: deque[asyncio.Future[Endpoint]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._last_success = time.monotonic()

    @property
    def limit(self) -> float:
        """How many requests may be in flight now, at all endpoints together."""
        return sum(endpoint.limiter.limit for endpoint in self.endpoints)

    def start_session(self) -> None:
        """Begin a stretch of requests of one kind, in the running event loop."""
        self._last_success = time.monotonic()
        self._waiting.clear()
        self._alarm = None
        for endpoint in self.endpoints:
            endpoint.limiter.start_session(self._last_success)

    @contextmanager
    def at_full_concurrency(self) -> Iterator[None]:
        """Let `concurrency` requests run at each endpoint from the first one on; after that, start low as ever."""
        self._reset_limits(math.inf)
        try:
            yield
        finally:
            self._reset_limits(START)

    async def call(self, send: Callable[[str], Awaitable[Result]]) -> Result:
        """Have one request answered.

        Args:
            send: Sends the request to a base URL; raises `Failure` where another attempt may help.

        Raises:
            EndpointError: If no endpoint answers any more, or none answers this request.
        """
        wait, failures, first_failure = WAIT, 0, math.inf
        while True:
            endpoint = await self._acquire()
            try:
                return await self._attempt(endpoint, send)
            except Failure as failure:
                # Until another request is answered it may be the endpoints that fail, and to end that is `give_up`'s.
                failures += self._last_success > first_failure
                first_failure = min(first_failure, time.monotonic())
                if failures == self.attempts:
                    raise EndpointError(
                        f"A request failed {failures} times, last at {endpoint.url}: {failure.reason} Other requests were "
                        "answered, so it is this one. What was answered is kept; the same command goes on from there."
                    ) from None
            wait = min(wait, LONGEST_WAIT, self.give_up / 4)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            wait *= 2

    async def _attempt(self, endpoint: Endpoint, send: Callable[[str], Awaitable[Result]]) -> Result:
        """Send a request to an endpoint where it has a place, and note what came of it."""
        start = time.monotonic()
        try:
            try:
                result = await send(endpoint.url)
            finally:
                endpoint.limiter.in_flight -= 1
            self._succeeded(endpoint, time.monotonic() - start)
            return result
        except Failure as failure:
            self._failed(endpoint, failure)
            raise
        finally:
            self._wake()  # however it ended, its place is free, and whoever waits would hear of it from nobody else

    def _succeeded(self, endpoint: Endpoint, seconds: float) -> None:
        self._last_success = time.monotonic()
        self.traffic.answered += 1
        endpoint.failures, endpoint.failed_at = 0, -math.inf
        endpoint.limiter.succeeded(seconds, self._last_success)

    def _failed(self, endpoint: Endpoint, failure: Failure) -> None:
        now = endpoint.failed_at = time.monotonic()
        reasons = self.traffic.reasons
        reasons[failure.kind] = reasons.get(failure.kind, 0) + 1
        self.traffic.retried += 1
        if failure.refused:
            self.traffic.refused += 1
            endpoint.limiter.refused()
        else:
            endpoint.failures += 1
        if now - self._last_success > self.give_up:
            raise EndpointError(
                f"Nothing was answered for {now - self._last_success:.0f} s (llm.give_up {self.give_up:g}); last seen at "
                f"{endpoint.url}: {failure.reason} Look whether the server runs and takes requests. What was answered is "
                "kept; the same command goes on from there."
            ) from None
        rest = failure.retry_after or 0.0
        if endpoint.failures >= FAILURES_TO_REST:
            rest = max(rest, 0.5 * 2 ** min(6, endpoint.failures - FAILURES_TO_REST))
        if rest:
            # Never longer than the give-up rule can wait for a sign of life.
            endpoint.rests_until = max(endpoint.rests_until, now + min(rest, LONGEST_WAIT, self.give_up / 2))

    async def _acquire(self) -> Endpoint:
        if not self._waiting:
            endpoint = self._free_endpoint(time.monotonic())
            if endpoint:
                endpoint.limiter.in_flight += 1
                return endpoint
        future: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # its place came in the same turn of the event loop
                future.result().limiter.in_flight -= 1
                self._wake()
            raise

    def _reset_limits(self, limit: float) -> None:
        now = time.monotonic()
        for endpoint in self.endpoints:
            endpoint.limiter.reset(limit, now)

    def _free_endpoint(self, now: float) -> Endpoint | None:
        awake = [e for e in self.endpoints if e.limiter.room >= 1 and e.rests_until <= now]
        # Room alone would send a lone request to the same dead endpoint each time: that one has the most room.
        return max(awake, key=lambda e: (-max(e.failed_at, now - JUST_NOW), e.limiter.room), default=None)

    def _wake(self) -> None:
        """Give free places to those who wait, first come first served; set an alarm for the end of the nearest rest."""
        now = time.monotonic()  # read once: a rest that ends between two readings would be nobody's to end
        while self._waiting:
            if self._waiting[0].done():  # its caller was cancelled
                self._waiting.popleft()
                continue
            endpoint = self._free_endpoint(now)
            if endpoint is None:
                break
            endpoint.limiter.in_flight += 1
            self._waiting.popleft().set_result(endpoint)
        if self._alarm:
            self._alarm.cancel()  # another rest may end sooner by now
        rests = [e.rests_until for e in self.endpoints if e.rests_until > now]
        if self._waiting and rests:
            self._alarm = asyncio.get_running_loop().call_later(min(rests) - now, self._wake)
