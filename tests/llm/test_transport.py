"""Retries, limits and giving up, without a network."""

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx2
import pytest

from gecko_hf.errors import EndpointError, LLMError
from gecko_hf.llm.endpoints import transport as transport_module
from gecko_hf.llm.endpoints.http import retry_after, verdict
from gecko_hf.llm.endpoints.limiter import Limiter
from gecko_hf.llm.endpoints.secret import Secret
from gecko_hf.llm.endpoints.transport import LONGEST_WAIT, SPACING, Failure, Transport


def run(transport, sends):
    async def session():
        transport.start_session()
        return await asyncio.gather(*(transport.call(send) for send in sends))

    return asyncio.run(session())


@pytest.fixture
def clock(monkeypatch):
    """The transport's clock, which stands still until a test moves it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(transport_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


async def answered(url: str) -> str:
    return url


def failing(times: int, failure: Failure):
    """A request that fails some times and then says where it was answered."""
    left = [times]

    async def send(url: str) -> str:
        if left[0]:
            left[0] -= 1
            raise failure
        return url

    return send


class TestRetries:
    def test_a_failure_that_passes_is_not_seen(self):
        transport = Transport(["a"], concurrency=4, give_up=5)
        assert run(transport, [failing(3, Failure("HTTP 503.", refused=True)), failing(0, Failure(""))]) == ["a", "a"]
        assert (transport.traffic.answered, transport.traffic.retried, transport.traffic.refused) == (2, 3, 3)

    def test_an_error_that_will_not_pass_is_raised_at_once_and_frees_its_place(self):
        async def send(_):
            raise LLMError("too long")

        transport = Transport(["a"], concurrency=4, give_up=5)
        with pytest.raises(LLMError, match="too long"):
            run(transport, [send])
        assert transport.endpoints[0].limiter.in_flight == 0

    @pytest.mark.parametrize("error", [LLMError("too long"), asyncio.CancelledError("by its caller")])
    def test_whoever_waits_gets_the_place_of_a_request_that_ended_in_an_error(self, error):
        async def send(_):
            await asyncio.sleep(0.01)  # the others queue meanwhile
            raise error

        async def session():
            transport.start_session()
            calls = [transport.call(send), *(transport.call(answered) for _ in range(3))]
            return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)

        transport = Transport(["a"], concurrency=1, give_up=5)
        ended, *others = asyncio.run(session())
        assert isinstance(ended, type(error))
        assert others == ["a"] * 3

    def test_retry_after_rests_the_endpoint_for_all(self):
        transport = Transport(["a"], concurrency=4, give_up=20)
        start = time.monotonic()
        run(transport, [failing(1, Failure("HTTP 429.", refused=True, retry_after=0.4))])
        assert time.monotonic() - start >= 0.4

    def test_a_lone_request_that_failed_goes_to_another_endpoint(self):
        asked = []

        async def send(url):
            asked.append(url)
            if url == "dead":
                raise Failure("Cannot connect.")
            return url

        transport = Transport(["dead", "alive"], concurrency=4, give_up=5)
        assert run(transport, [send]) == ["alive"]
        assert asked == ["dead", "alive"]

    @pytest.mark.parametrize("refused", [False, True])
    def test_an_endpoint_is_left_alone_after_a_failure_for_seconds_and_not_for_ever(self, refused, clock):
        first = failing(1, Failure("HTTP 503.", refused=refused))
        transport = Transport(["failed", "other"], concurrency=1, give_up=600)
        assert run(transport, [first]) == ["other"]
        assert run(transport, [answered]) == ["other"]
        clock.now += 60
        assert run(transport, [answered]) == ["failed"]

    def test_however_long_a_request_waits_it_does_not_go_back_to_where_it_failed_last(self, clock, monkeypatch):
        def wait_long(*_) -> float:
            clock.now += 0.9 * LONGEST_WAIT
            return 0.0

        async def send(url: str) -> str:
            asked.append(url)
            return await fails(url)

        monkeypatch.setattr(transport_module, "random", SimpleNamespace(uniform=wait_long))
        asked, fails = [], failing(7, Failure("HTTP 500."))
        run(Transport(["a", "b"], concurrency=4, give_up=3600), [send])
        assert asked == ["a", "b"] * 4

    def test_an_endpoint_that_fails_eight_times_in_a_row_rests_each_time_twice_as_long(self, clock):
        async def send(url: str) -> str:
            asked.append(url)
            if url == "dead":
                raise Failure("Cannot connect.")
            await asyncio.sleep(0.005)
            return url

        def asked_of_the_dead() -> int:
            asked.clear()
            run(transport, [send] * 20)
            return asked.count("dead")

        asked = []
        transport = Transport(["dead", "alive"], concurrency=1, give_up=600)
        assert asked_of_the_dead() == 8
        for seconds in (0.5, 1, 2):
            clock.now += 0.9 * seconds
            assert asked_of_the_dead() == 0
            clock.now += 0.2 * seconds
            assert asked_of_the_dead() == 1

    def test_while_one_endpoint_rests_the_other_works(self):
        transport = Transport(["busy", "free"], concurrency=2, give_up=20)

        async def send(url: str) -> str:
            if url == "busy":
                raise Failure("HTTP 503.", refused=True, retry_after=5)
            return url

        start = time.monotonic()
        assert run(transport, [send] * 30) == ["free"] * 30
        assert time.monotonic() - start < 4

    @pytest.mark.parametrize("readings_before_the_end", [1, 2, 3])
    def test_a_rest_that_ends_while_it_is_looked_at_strands_nobody(self, readings_before_the_end, monkeypatch):
        clock = itertools.chain([0.0] * (1 + readings_before_the_end), itertools.repeat(1.0))
        monkeypatch.setattr(transport_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        transport = Transport(["a"], concurrency=1, give_up=600)
        transport.endpoints[0].rests_until = 0.1

        async def session():
            transport.start_session()
            return await asyncio.wait_for(transport.call(failing(0, Failure(""))), 5)

        assert asyncio.run(session()) == "a"

    def test_whoever_waits_is_sent_when_the_shortest_rest_ends_even_if_it_began_last(self):
        async def send(url: str) -> str:
            if url == "short":
                await asyncio.sleep(0.1)
            if next(sent) < 2:
                raise Failure("HTTP 503.", retry_after={"long": 8, "short": 0.3}[url])
            return url

        sent = itertools.count()
        start = time.monotonic()
        assert run(Transport(["long", "short"], concurrency=1, give_up=20), [send] * 4) == ["short"] * 4
        assert time.monotonic() - start < 6

    def test_a_request_that_always_fails_ends_the_run_with_its_reason(self):
        transport = Transport(["a"], concurrency=4, give_up=60, attempts=4)
        with pytest.raises(EndpointError, match=r"failed 4 times, last at a: HTTP 500\."):
            run(transport, [failing(99, Failure("HTTP 500.")), *[answered] * 3])

    def test_while_nothing_at_all_is_answered_no_number_of_attempts_ends_the_run(self):
        transport = Transport(["a"], concurrency=4, give_up=0.4, attempts=2)
        with pytest.raises(EndpointError, match=r"Nothing was answered for .*llm\.give_up 0\.4"):
            run(transport, [failing(99, Failure("HTTP 503."))])

    def test_what_failed_while_nothing_was_answered_is_not_held_against_a_request_later(self, monkeypatch):
        monkeypatch.setattr(transport_module, "WAIT", 0.001)
        back = asyncio.Event()

        async def unlucky(url: str) -> str:
            if next(sent) == 6:
                back.set()  # others are answered from here on
            return await fails(url)

        async def other(url: str) -> str:
            await back.wait()
            return url

        sent, fails = itertools.count(1), failing(8, Failure("HTTP 503."))
        assert run(Transport(["a"], concurrency=4, give_up=60, attempts=4), [unlucky, other]) == ["a", "a"]

    def test_failures_are_counted_by_kind_whatever_else_they_say(self):
        fails = [Failure(f"HTTP 500: request {i}.", kind="HTTP 500") for i in range(3)]
        fails += [Failure(f"log-probabilities of {i} tokens.") for i in range(3)]
        transport = Transport(["a"], concurrency=4, give_up=20)
        run(transport, [failing(1, failure) for failure in fails])
        assert transport.traffic.reasons == {"HTTP 500": 3, "log-probabilities of N tokens.": 3}

    def test_nothing_answered_for_the_limit_ends_the_run(self):
        transport = Transport(["a", "b"], concurrency=4, give_up=0.4)
        start = time.monotonic()
        with pytest.raises(EndpointError, match=r"Nothing was answered for .*llm\.give_up 0\.4.*refused by test"):
            run(transport, [failing(10**6, Failure("refused by test"))] * 5)
        assert time.monotonic() - start < 5

    def test_a_caller_that_is_cancelled_gives_its_place_back(self):
        transport = Transport(["a"], concurrency=1, give_up=5)

        async def session():
            transport.start_session()
            slow = asyncio.create_task(transport.call(lambda _: asyncio.sleep(30)))
            waits = asyncio.create_task(transport.call(lambda _: asyncio.sleep(0)))
            await asyncio.sleep(0.01)
            for task in (slow, waits):
                task.cancel()
            await asyncio.gather(slow, waits, return_exceptions=True)
            return await transport.call(failing(0, Failure("")))

        assert asyncio.run(session()) == "a"

    def test_what_is_cancelled_before_it_was_sent_is_not_sent_and_its_place_goes_on(self):
        sent = []

        async def session():
            transport.start_session()
            cancelled = asyncio.create_task(transport.call(lambda url: asyncio.sleep(0, sent.append(url))))
            waits = asyncio.create_task(transport.call(answered))
            await asyncio.sleep(0)  # `cancelled` has the only place, and whoever is to send it has not run yet
            cancelled.cancel()
            assert await asyncio.wait_for(waits, 5) == "a"
            assert cancelled.cancelled()

        transport = Transport(["a"], concurrency=1, give_up=5)
        asyncio.run(session())
        assert not sent
        assert transport.endpoints[0].limiter.in_flight == 0

    def test_a_caller_that_is_cancelled_as_its_answer_comes_does_not_end_the_request_after_it(self):
        async def session():
            transport.start_session()
            gate = asyncio.Event()
            first = asyncio.create_task(transport.call(lambda _: gate.wait()))
            second = asyncio.create_task(transport.call(lambda url: asyncio.sleep(0.05, url)))
            await asyncio.sleep(0.01)
            gate.set()
            await asyncio.sleep(0)  # the answer is there, `second` is on its way, and `first` has not run yet
            assert not first.done()
            first.cancel()
            assert await asyncio.wait_for(second, 5) == "a"

        transport = Transport(["a"], concurrency=1, give_up=5)
        asyncio.run(session())
        assert transport.endpoints[0].limiter.in_flight == 0

    def test_the_next_request_is_sent_before_the_answer_is_looked_at(self):
        order = []

        async def ask(name: str) -> None:
            await transport.call(lambda url: asyncio.sleep(4 * SPACING, order.append(f"{name} sent")))
            order.append(f"{name} seen")

        async def session():
            transport.start_session()
            await asyncio.gather(ask("first"), ask("second"))

        transport = Transport(["a"], concurrency=1, give_up=5)
        asyncio.run(session())
        assert order == ["first sent", "second sent", "first seen", "second seen"]

    def test_requests_to_an_endpoint_leave_some_time_apart_however_many_there_is_room_for(self):
        left: dict[str, list[float]] = {"a": [], "b": []}

        async def send(url: str) -> None:
            left[url].append(time.monotonic())
            await asyncio.sleep(0.2)  # longer than it takes to send all

        transport = Transport(list(left), concurrency=40, give_up=5)
        with transport.at_full_concurrency():
            run(transport, [send] * 80)
        for times in left.values():
            assert len(times) == 40
            assert max(times) - min(times) > 39 * SPACING * 0.95


class TestLimiter:
    def play(self, limiter: Limiter, rounds: int, latency_of, capacity: int | None = None, now: float = 1.0) -> float:
        """A server with a latency that depends on how many requests it holds, and a capacity above which it refuses."""
        for _ in range(rounds):
            sent = int(limiter.limit)
            limiter.in_flight = sent
            taken = min(sent, capacity or sent)
            for _ in range(sent - taken):
                limiter.in_flight -= 1
                limiter.refused()
            latency = latency_of(taken)
            now += latency
            for _ in range(taken):
                limiter.in_flight -= 1
                limiter.succeeded(latency, now)
        return now

    def test_it_doubles_while_nothing_speaks_against_it_up_to_the_bound(self):
        limiter = Limiter(100)
        self.play(limiter, 4, lambda _: 0.05)
        assert limiter.limit == 100

    def test_refusals_say_how_much_the_server_takes(self):
        limiter = Limiter(500)
        self.play(limiter, 60, lambda _: 0.05, capacity=64)
        assert 60 <= limiter.limit <= 66

    def test_latency_that_buys_no_throughput_lowers_it(self):
        # Sixteen at once are served in parallel; more only wait: throughput is flat, latency grows.
        limiter = Limiter(500)
        self.play(limiter, 80, lambda n: 0.05 * max(1.0, n / 16))
        assert 10 <= limiter.limit <= 40

    def test_latency_that_pays_does_not(self):
        # Continuous batching: eight times the latency for sixteen times the requests.
        limiter = Limiter(128)
        self.play(limiter, 40, lambda n: 0.05 * (n / 8) ** 0.75)
        assert limiter.limit > 100

    def test_it_never_falls_to_nothing(self):
        limiter = Limiter(10)
        for _ in range(50):
            limiter.refused()
        assert limiter.limit == 1


class TestVerdicts:
    def response(self, status: int, headers=None, text="no") -> httpx2.HTTPStatusError:
        request = httpx2.Request("POST", "http://h")
        answer = httpx2.Response(status, headers=headers, text=text, request=request)
        return httpx2.HTTPStatusError("x", request=request, response=answer)

    @pytest.mark.parametrize("status", [408, 424, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_sent_again(self, status):
        found = verdict(self.response(status, {"Retry-After": "2"}), "u", Secret(None))
        assert isinstance(found, Failure)
        assert found.retry_after == 2
        assert found.refused == (status in (429, 503))

    def test_what_may_pass_keeps_the_servers_words_short_and_without_the_key(self, monkeypatch):
        monkeypatch.setenv("GECKO_TEST_KEY", "sk-seen")
        said = "CUDA out of memory\n for sk-seen. " + 1000 * "x"
        found = verdict(self.response(500, text=said), "u", Secret("GECKO_TEST_KEY"))
        assert found.reason.startswith("HTTP 500: CUDA out of memory for ***. xxx")
        assert len(found.reason) < 220
        assert found.kind == "HTTP 500"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
    def test_what_will_not_is_an_error_with_advice(self, status):
        found = verdict(self.response(status), "http://h/v1", Secret(None))
        assert isinstance(found, LLMError)
        assert f"http://h/v1 answered {status}: no" in str(found)

    def test_a_bug_stays_a_bug(self):
        bug = AttributeError("x")
        assert verdict(bug, "u", Secret(None)) is bug

    def test_retry_after_may_be_a_date(self):
        soon = (datetime.now(UTC) + timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        assert 25 < retry_after(httpx2.Headers({"retry-after": soon})) <= 30
        assert retry_after(httpx2.Headers({"retry-after": "soon"})) is None
        assert retry_after(httpx2.Headers({})) is None
