"""A queueing model of how endpoints are kept busy, checked against a real run, and what it says of larger ones.

`python benchmarks/queueing.py` sends requests to the loopback server (benchmarks/llm_server.py) in several shapes, simulates the
same with the processor seconds that client and server took for a request, and prints measured and simulated seconds. Then it
simulates what cannot be run here: how many requests a second one client process drives, and how busy it keeps its endpoints.

The model: a client process does one thing at a time (half of its work on a request before it is sent, half when it is answered);
so does the front of each server, behind which `capacity` requests take `latency` seconds side by side. The limit of requests in
flight is the package's own `Limiter`, and its requests to an endpoint leave `SPACING` apart.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import record, say
from llm_calls import Served, take_usage
from llm_throughput import ours

from gecko_hf.llm.endpoints.limiter import Limiter
from gecko_hf.llm.endpoints.transport import SPACING, WAIT

MOST = 512  # requests in flight at one endpoint, as llm_throughput allows
ROUNDS = 60  # of the last table: requests that each place takes
SHAPES = [(64, 0.05), (64, 0.2), (16, 0.05), (256, 0.2)]  # capacity, latency
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Check the model, then use it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--client-ms", type=float, help="of the client's processor a request; as measured by default")
    options = parser.parse_args()
    say(
        "| at once | seconds each | ideal | measured | simulated | simulated to measured |\n|---:|---:|---:|---:|---:|---:|"
    )
    client = server = 0.0
    for capacity, latency in SHAPES:
        measured, client, server = run(options.requests, capacity, latency)
        simulated = simulate(options.requests, 1, capacity, latency, client, server)
        ideal = options.requests / capacity * latency
        say(
            f"| {capacity} | {latency} | {ideal:.2f} s | {measured:.2f} s | {simulated:.2f} s | {simulated / measured:.2f} |"
        )
        shape = {"requests": options.requests, "capacity": capacity, "latency": latency}
        costs = {"client": round(client, 6), "server": round(server, 6)}
        record("queueing", **shape, **costs, measured=round(measured, 3), simulated=round(simulated, 3))
    cost = options.client_ms / 1e3 if options.client_ms else client
    say(f"\nOne process, {cost * 1e3:.2f} ms of its processor a request, endpoints of 256 at once, 2 s each:\n")
    say("| endpoints | requests/s | endpoints busy |\n|---:|---:|---:|")
    for endpoints in (1, 4, 8, 16, 32):
        count = ROUNDS * 256 * endpoints
        seconds = simulate(count, endpoints, 256, 2.0, cost, 0.0)
        busy = count * 2.0 / (seconds * 256 * endpoints)
        say(f"| {endpoints} | {count / seconds:,.0f} | {busy:.0%} |")
        record("queueing", endpoints=endpoints, client=cost, simulated_rate=round(count / seconds), busy=round(busy, 3))


def run(requests: int, capacity: int, latency: float) -> tuple[float, float, float]:
    """Seconds of a real run, and the processor seconds of client and server a request."""
    options = argparse.Namespace(capacity=capacity, latency=latency, cache_tokens=[])
    served = Served(options)
    with served as url:
        take_usage(url)
        before = processor(served.child.pid)
        clock = ours(url, requests, capacity)
        spent = processor(served.child.pid) - before
        usage = take_usage(url)
        assert usage["requests"] == requests, usage
    return clock.seconds, (clock.processor or 0.0) / requests, spent / requests


def processor(pid: int) -> float:
    """Processor seconds of another process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass
class Endpoint:
    """A simulated server, and the client's limit for it."""

    limiter: Limiter
    in_flight: int = 0
    front_free: float = 0.0
    sent_at: float = -math.inf


def simulate(requests: int, endpoints: int, capacity: int, latency: float, client: float, server: float) -> float:
    """Seconds until all requests are answered.

    Args:
        requests: How many.
        endpoints: How many servers; a request goes to the one with the most room.
        capacity: Requests that a server takes at once; it refuses more.
        latency: Seconds of a request.
        client: Processor seconds of the client a request.
        server: Processor seconds of a server's front a request.
    """
    return Simulation(
        requests, [Endpoint(Limiter(MOST)) for _ in range(endpoints)], capacity, latency, client, server
    ).run()


class Simulation:
    """Events in the order of their times; see `simulate`."""

    def __init__(
        self, requests: int, servers: list[Endpoint], capacity: int, latency: float, client: float, server: float
    ) -> None:
        self.waiting, self.left = requests, requests
        self.servers, self.capacity, self.latency = servers, capacity, latency
        self.client, self.server = client, server
        self.now = self.client_free = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()

    def run(self) -> float:
        """Seconds until all are answered."""
        self.fill()
        while self.left:
            self.now, _, happens = heapq.heappop(self.events)
            happens()
        return self.now

    def at(self, moment: float, happens: Callable[[], None]) -> None:
        """Have something happen at a moment."""
        heapq.heappush(self.events, (moment, next(self.order), happens))

    def client_works(self) -> float:
        """When the client has done half a request's work that is given to it now."""
        self.client_free = max(self.client_free, self.now) + self.client / 2
        return self.client_free

    def fill(self) -> None:
        """Send what there is room for."""
        while self.waiting and (to := max(self.servers, key=lambda s: s.limiter.room)).limiter.room >= 1:
            self.waiting -= 1
            to.limiter.in_flight += 1
            self.send(to)

    def send(self, to: Endpoint) -> None:
        """One request, from the client's work on it to its end."""
        begin = self.now

        def arrives() -> None:
            to.front_free = max(to.front_free, self.now) + self.server
            if to.in_flight < self.capacity:
                to.in_flight += 1
                self.at(to.front_free + self.latency, ends)
            else:
                self.at(to.front_free, lambda: self.at(self.client_works(), refused))

        def ends() -> None:
            to.in_flight -= 1
            self.at(self.client_works(), answered)

        def answered() -> None:
            to.limiter.in_flight -= 1
            to.limiter.succeeded(self.now - begin, self.now)
            self.left -= 1
            self.fill()

        def refused() -> None:
            to.limiter.in_flight -= 1
            to.limiter.refused()
            self.at(self.now + WAIT, again)

        def again() -> None:
            self.waiting += 1
            self.fill()

        to.sent_at = max(self.client_works(), to.sent_at + SPACING)
        self.at(to.sent_at, arrives)


if __name__ == "__main__":
    main()
