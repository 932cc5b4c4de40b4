"""How many requests one endpoint gets at once: grown while it pays, cut by refusals and by latency that buys nothing.

Additive increase, and two kinds of decrease. A server that refuses says by that how much it takes: what is still in flight.
A server that queues instead says it by latency: where requests take longer and no more of them end a second, the limit falls by a
tenth, though not below the first limit. Until the first such sign the limit doubles once a round, as TCP starts.
"""

from __future__ import annotations

START = 8  # ours: first limit
SLOWER = 1.5  # ours: latency, in multiples of that at the best throughput, that counts as rising
BETTER = 1.05  # ours: throughput, in multiples of the best, that counts as a gain
DECREASE = 0.9  # ours
CLOCK = 1e-6  # seconds that two readings of a clock may differ by rounding
HOLD_ROUNDS = 20  # ours: rounds after a refusal in which the limit does not grow


class Limiter:
    """The limit of one endpoint; times are in seconds of any one clock.

    Args:
        most: Upper bound of the limit.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_flight = 0
        self.reset(START, 0.0)

    def reset(self, limit: float, now: float) -> None:
        """Forget all that was learnt, and go on from a limit, `most` at most."""
        self.limit = float(min(limit, self.most))
        self._doubling = True
        self.start_session(now)

    def start_session(self, now: float) -> None:
        """Forget latencies: the next requests may be of another kind."""
        self._start_round(now)
        self._best_rate = self._reference = 0.0
        self._hold = 0

    @property
    def room(self) -> float:
        """How many more requests may be sent now."""
        return self.limit - self.in_flight

    def succeeded(self, seconds: float, now: float) -> None:
        """A request was answered after this time."""
        if not self._hold:
            self.limit = min(self.most, self.limit + (1.0 if self._doubling else 1 / self.limit))
        if now - seconds < self._round_start - CLOCK:
            return  # it was sent under an earlier limit
        self._ended += 1
        self._seconds += seconds
        if self._ended >= self._round:
            self._end_round(now)

    def refused(self) -> None:
        """The endpoint said that it has no room; `in_flight` no longer counts the refused request."""
        self.limit = max(1.0, min(self.limit, self.in_flight))
        self._doubling = False
        self._hold = HOLD_ROUNDS

    def _end_round(self, now: float) -> None:
        latency = max(CLOCK, self._seconds / self._ended)
        rate = self._round / latency  # Little's law: what is in flight is throughput times latency
        if rate > BETTER * self._best_rate:
            self._best_rate, self._reference = rate, latency
        elif latency > SLOWER * self._reference:
            self.limit = max(min(START, self.limit), DECREASE * self.limit)
            self._doubling = False
        elif rate > self._best_rate / BETTER:
            self._reference = min(self._reference, latency)
        self._hold = max(0, self._hold - 1)
        self._start_round(now)

    def _start_round(self, now: float) -> None:
        """A round is as many answers as may be in flight when it starts."""
        self._round_start, self._ended, self._seconds, self._round = now, 0, 0.0, self.limit
