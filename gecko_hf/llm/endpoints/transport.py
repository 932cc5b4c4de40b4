"""Requests to one or several endpoints: retried, bounded, spread, and given up in time.

A request that fails in a way that may pass (refusal, 5xx, time-out, dropped connection, an answer that is none) is sent again
after a wait with jitter, to whichever endpoint has room, first to those that did not fail just now. `Retry-After` rests the
endpoint that said it. An endpoint that fails again and again rests too, so that others take its share. Where nothing has
succeeded for `give_up` seconds the run ends; where others are answered, a request that goes on failing ends it.

Whoever has read an answer sends the next request before anybody looks at that answer: where many come at once, the places of
all but the first would otherwise stay empty until the callers have dealt with theirs. And requests to one endpoint leave some
time apart: those that leave together are answered together, and again, so that it and we would work in turns.
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
from typing import Any, TypeVar

from gecko_hf.errors import EndpointError
from gecko_hf.llm.endpoints.limiter import START, Limiter

Result = TypeVar("Result")
ATTEMPTS = 20  # ours: of one request while others succeed
WAIT, LONGEST_WAIT = 0.05, 30.0  # ours: seconds before the second attempt, doubled each time, and the most
FAILURES_TO_REST = 8  # ours: in a row
SPACING = 0.0005  # ours: seconds between two requests to one endpoint, so 2,000 a second at most
JUST_NOW = LONGEST_WAIT  # an endpoint that failed comes last for as long as a request may wait to be sent again


class Failure(Exception):
    """A request failed in a way that may pass.

    Attributes:
        reason: What was seen.
        kind: The reason without what differs from one failure to the next.
        refused: Whether the endpoint said that it has no room.
        retry_after: Seconds that the endpoint asked to be left alone.
        url: The endpoint, noted by the transport.
        at: When it was seen, by the monotonic clock; noted by the transport.
    """

    url, at = "", math.inf

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
    sent_at: float = -math.inf  # the last request

    async def turn(self) -> None:
        """Wait until `SPACING` has passed since the last request before this one."""
        now = time.monotonic()
        self.sent_at = max(now, self.sent_at + SPACING)
        if self.sent_at > now:
            await asyncio.sleep(self.sent_at - now)


@dataclass
class Traffic:
    """What the transport saw: requests answered, sent again, and refused, and how many failures of each kind."""

    answered: int = 0
    retried: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Request:
    """One attempt.

    Attributes:
        send: Sends it to a base URL.
        answer: What its caller waits for.
        sender: The task that is sending it.
    """

    send: Callable[[str], Awaitable[Any]]
    answer: asyncio.Future[Any]
    sender: asyncio.Task[Any] | None = None


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
        self._waiting: deque[Request] = deque()
        self._senders: set[asyncio.Task[None]] = set()  # the event loop itself would let go of them
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
        self._senders.clear()
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
            try:
                return await self._attempt(send)
            except Failure as failure:
                # Until another request is answered it may be the endpoints that fail, and to end that is `give_up`'s.
                failures += self._last_success > first_failure
                first_failure = min(first_failure, failure.at)
                if failures == self.attempts:
                    raise EndpointError(
                        f"A request failed {failures} times, last at {failure.url}: {failure.reason} Other requests were "
                        "answered, so it is this one. What was answered is kept; the same command goes on from there."
                    ) from None
            wait = min(wait, LONGEST_WAIT, self.give_up / 4)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            wait *= 2

    async def _attempt(self, send: Callable[[str], Awaitable[Result]]) -> Result:
        """Have a request sent where there is a place, as soon as there is one."""
        request = Request(send, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._wake()
        try:
            answer: Result = await request.answer
        except asyncio.CancelledError:
            if request.sender:
                request.sender.cancel()
            raise
        return answer

    async def _send(self, endpoint: Endpoint, request: Request) -> None:
        """Send a request, and then the next while there are places and requests."""
        following: tuple[Endpoint, Request] | None = endpoint, request
        try:
            while following:
                await self._send_one(*following)
                following = self._next(time.monotonic())
                if following:
                    self._wake()  # the answer may have raised the limit by more than this one
        finally:
            self._wake()  # however it ended, its place is free, and whoever waits would hear of it from nobody else

    async def _send_one(self, endpoint: Endpoint, request: Request) -> None:
        """Send a request to an endpoint where it has a place, and note what came of it."""
        request.sender, answer = asyncio.current_task(), request.answer
        try:
            try:
                await endpoint.turn()
                start = time.monotonic()
                result = None if answer.done() else await request.send(endpoint.url)
            finally:
                endpoint.limiter.in_flight -= 1
            if not answer.done():  # else its caller was cancelled
                self._succeeded(endpoint, time.monotonic() - start)
                answer.set_result(result)
        except Exception as error:
            told = self._failed(endpoint, error) if isinstance(error, Failure) else error
            if not answer.done():
                answer.set_exception(told)
        finally:
            request.sender = None
            answer.cancel()  # does nothing to one that is there

    def _succeeded(self, endpoint: Endpoint, seconds: float) -> None:
        self._last_success = time.monotonic()
        self.traffic.answered += 1
        endpoint.failures, endpoint.failed_at = 0, -math.inf
        endpoint.limiter.succeeded(seconds, self._last_success)

    def _failed(self, endpoint: Endpoint, failure: Failure) -> Exception:
        """Note a failure; returns what the caller is to be told: that one, or the end of the run."""
        now = failure.at = endpoint.failed_at = time.monotonic()
        failure.url = endpoint.url
        reasons = self.traffic.reasons
        reasons[failure.kind] = reasons.get(failure.kind, 0) + 1
        self.traffic.retried += 1
        if failure.refused:
            self.traffic.refused += 1
            endpoint.limiter.refused()
        else:
            endpoint.failures += 1
        if now - self._last_success > self.give_up:
            return EndpointError(
                f"Nothing was answered for {now - self._last_success:.0f} s (llm.give_up {self.give_up:g}); last seen at "
                f"{endpoint.url}: {failure.reason} Look whether the server runs and takes requests. What was answered is "
                "kept; the same command goes on from there."
            )
        rest = failure.retry_after or 0.0
        if endpoint.failures >= FAILURES_TO_REST:
            rest = max(rest, 0.5 * 2 ** min(6, endpoint.failures - FAILURES_TO_REST))
        if rest:
            # Never longer than the give-up rule can wait for a sign of life.
            endpoint.rests_until = max(endpoint.rests_until, now + min(rest, LONGEST_WAIT, self.give_up / 2))
        return failure

    def _reset_limits(self, limit: float) -> None:
        now = time.monotonic()
        for endpoint in self.endpoints:
            endpoint.limiter.reset(limit, now)

    def _free_endpoint(self, now: float) -> Endpoint | None:
        awake = [e for e in self.endpoints if e.limiter.room >= 1 and e.rests_until <= now]
        # Room alone would send a lone request to the same dead endpoint each time: that one has the most room.
        return max(awake, key=lambda e: (-max(e.failed_at, now - JUST_NOW), e.limiter.room), default=None)

    def _next(self, now: float) -> tuple[Endpoint, Request] | None:
        """The request that is to be sent now, first come first served, and the endpoint where it has a place from here on."""
        while self._waiting and self._waiting[0].answer.done():  # its caller was cancelled
            self._waiting.popleft()
        endpoint = self._free_endpoint(now) if self._waiting else None
        if endpoint is None:
            return None
        endpoint.limiter.in_flight += 1
        return endpoint, self._waiting.popleft()

    def _wake(self) -> None:
        """Have requests sent where there are places; set an alarm for the end of the nearest rest."""
        now = time.monotonic()  # read once: a rest that ends between two readings would be nobody's to end
        while following := self._next(now):
            sender = asyncio.get_running_loop().create_task(self._send(*following))
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        if self._alarm:
            self._alarm.cancel()  # another rest may end sooner by now
        rests = [e.rests_until for e in self.endpoints if e.rests_until > now]
        if self._waiting and rests:
            self._alarm = asyncio.get_running_loop().call_later(min(rests) - now, self._wake)
