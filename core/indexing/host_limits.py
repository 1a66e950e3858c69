"""How fast each host is asked: requests at a time, and a rate that is found by what the host refuses."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

DECREASE = 0.7
"""The factor of a host's rate when it refuses a request: as TCP's CUBIC (RFC 9438, 4.6) halves less than half."""

INCREASE, INCREASE_FACTOR = 0.05, 0.025
"""Requests a second that each answer adds to a limited rate, and at most this part of it: some six seconds, or else 14
answers, bring it back to where it was refused."""

MEASURED_SECONDS = 5.0
"""The answers of the last so many seconds tell what a host allowed when it refuses for the first time."""

LOOKED_AT, REFUSED_SHARE = 20, 0.25
"""Of a host's last so many outcomes, the share that must be refused for it to count as one with a rate: below that, it
is the URLs that cannot be had. Repeated refusals of one URL count once."""

LEAST_RATE, NO_LIMIT = 0.05, 100.0
"""Requests a second: the lowest rate, and the one above which a rate is no limit any more."""

LONGEST_PAUSE = 600.0
"""The longest pause after refusals in a row, in units of the first; each is twice as long as the one before."""

MANY_REFUSALS = 11
"""Refusals in a row after which a host is not waited for any longer: after 17 minutes with pauses from a second on."""

FORGOTTEN_SECONDS = 900.0
"""After so long without a request a host is as if it had never been asked."""

MAX_HOSTS = 1_000
"""Hosts remembered before the forgotten ones are dropped."""


@dataclass
class _Host:
    busy: int = 0
    rate: float = math.inf
    begun_at: float = 0.0
    asked_at: float = 0.0
    next_at: float = 0.0
    slowed_at: float = -math.inf
    refusals: int = 0
    answered: deque[float] = field(default_factory=lambda: deque(maxlen=256))
    outcomes: deque[bool] = field(default_factory=lambda: deque(maxlen=LOOKED_AT))  # whether each was answered
    until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True)
class Refusal:
    """What a refused request tells: the seconds until the host is asked again; whether it was `known` when the request
    began that the host refuses some; how many were refused in a row, one of those under way at a time; and whether the
    host is asked less often (`slowed`), or rather the URL cannot be had."""

    pause: float
    known: bool
    in_a_row: int
    slowed: bool = True

    @property
    def hopeless(self) -> bool:
        """Whether the host has refused everything for long."""
        return self.in_a_row >= MANY_REFUSALS


class HostGate:
    """Counts the running requests to each host, and spaces them out for those that refuse some. Thread-safe.

    The rate falls by a factor when a request is refused and rises by a constant with each that is answered, so that
    processes which do not know each other share a host fairly (Chiu and Jain, "Analysis of the Increase and Decrease
    Algorithms for Congestion Avoidance in Computer Networks", 1989).
    """

    def __init__(self, limit: int, unit: float = 1.0) -> None:
        """`limit` is the number of concurrent requests to one host, from all processes together, and `unit` the seconds
        of the first pause of a host that refuses again and again."""
        self._all = self._limit = limit
        self._unit = unit
        self._hosts = dict[str, _Host]()
        self._lock = threading.Lock()

    def share(self, processes: int) -> None:
        """Use an equal share of the limit, as one of `processes`; each gets at least one request at a time."""
        self._limit = max(1, self._all // max(processes, 1))

    def back_off(self, host: str, until: datetime, reason: str = "") -> None:
        """Send no request to a host before `until`."""
        with self._lock:
            state = self._state(host)
            state.until, state.reason = until, reason

    def backed_off_until(self, host: str) -> tuple[datetime, str] | None:
        """The time until which no request is sent to a host and the reason, or None."""
        with self._lock:
            state = self._hosts.get(host)
            if state is None or state.until is None:
                return None
            if state.until <= datetime.now(UTC):
                state.until = None
                return None
            return state.until, state.reason

    def room(self, host: str, seconds: float) -> float:
        """How many requests to a host may begin within so many seconds; infinite where its rate is not limited."""
        with self._lock:
            state = self._hosts.get(host)
            return math.inf if state is None else max(1.0, state.rate * seconds)

    def wait(self, host: str) -> float:
        """Seconds until the rate of a host allows the next request."""
        with self._lock:
            state = self._hosts.get(host)
            return max(0.0, state.next_at - time.monotonic()) if state else 0.0

    def enter(self, host: str) -> bool:
        """Reserve a request to a host, if its limits allow; `leave` ends it. Returns whether it was reserved."""
        now = time.monotonic()
        with self._lock:
            state = self._state(host)
            at_once = 1 if state.refusals else self._limit  # one is enough to see whether it answers again
            if state.busy >= at_once or now < state.next_at:
                return False
            state.busy += 1
            state.asked_at = now
            if not math.isinf(state.rate):
                state.next_at = now + 1 / state.rate
            return True

    def leave(self, host: str) -> None:
        """End a request to a host that `enter` reserved."""
        with self._lock:
            self._hosts[host].busy -= 1

    def answered(self, host: str) -> None:
        """A host answered a request, with a picture or not: it may be asked a little more often."""
        now = time.monotonic()
        with self._lock:
            state = self._state(host)
            state.answered.append(now)
            state.outcomes.append(True)
            state.refusals = 0
            if not math.isinf(state.rate):
                state.rate += min(INCREASE, INCREASE_FACTOR * state.rate)
                if state.rate > NO_LIMIT:
                    state.rate = math.inf

    def refused(self, host: str, asked_at: float, first: bool = True) -> Refusal:
        """A host refused a request that began at `asked_at` on the clock of `time.monotonic`, the `first` for its URL
        or not: it is asked less often, unless it answers nearly all others.

        What was under way when the rate last fell tells nothing new. Refusals in a row lengthen the pause, but leave
        the rate: a host that counts requests by the minute refuses all until the next minute.
        """
        now = time.monotonic()
        with self._lock:
            state = self._state(host)
            if first:
                state.outcomes.append(False)
            if asked_at < state.slowed_at:
                return Refusal(max(0.0, state.next_at - now), known=False, in_a_row=state.refusals)
            if math.isinf(state.rate) and state.outcomes.count(False) < REFUSED_SHARE * len(state.outcomes):
                return Refusal(0.0, known=True, in_a_row=0, slowed=False)
            known = not math.isinf(state.rate)
            if not state.refusals:
                state.rate = max(LEAST_RATE, min(state.rate, self._allowed(state, now)) * DECREASE)
            state.slowed_at = now
            state.refusals += 1
            pause = 1 / state.rate
            if 1 < state.refusals < MANY_REFUSALS:
                pause = max(pause, self._unit * min(LONGEST_PAUSE, 2.0 ** (state.refusals - 2)))
            state.next_at = now + pause
            return Refusal(pause, known, state.refusals)

    def _allowed(self, state: _Host, now: float) -> float:
        """Requests a second that a host has allowed lately."""
        recent = sum(1 for at in state.answered if at > now - MEASURED_SECONDS)
        seconds = min(MEASURED_SECONDS, now - state.begun_at)
        return recent / seconds if recent and seconds else 1 / self._unit

    def _state(self, host: str) -> _Host:
        state = self._hosts.get(host)
        now = time.monotonic()
        if state is None or (not state.busy and state.asked_at < now - FORGOTTEN_SECONDS and state.next_at < now):
            if len(self._hosts) >= MAX_HOSTS:
                self._hosts = {
                    name: old
                    for name, old in self._hosts.items()
                    if old.busy or old.next_at > now or old.asked_at > now - FORGOTTEN_SECONDS or old.until
                }
            until, reason = (state.until, state.reason) if state else (None, "")
            state = self._hosts[host] = _Host(until=until, reason=reason, begun_at=now, asked_at=now)
        return state
