"""How fast hosts are asked: simulated hosts on a simulated clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from core.indexing import host_limits
from core.indexing.host_limits import MANY_REFUSALS, HostGate

HOST = "slow.example"
PLACES = 4

Allows = Callable[[float], bool]


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(host_limits, "time", made)
    return made


def bucket(rate: float, burst: float) -> Allows:
    """A host that allows so many requests a second, and so many at a time (nginx's limit_req)."""
    left, at = burst, 1_000.0

    def allows(now: float) -> bool:
        nonlocal left, at
        left, at = min(burst, left + (now - at) * rate), now
        if left < 1:
            return False
        left -= 1
        return True

    return allows


def window(count: int, seconds: float) -> Allows:
    """A host that counts requests by the minute or so."""
    seen = dict[int, int]()

    def allows(now: float) -> bool:
        number = int(now / seconds)
        seen[number] = seen.get(number, 0) + 1
        return seen[number] <= count

    return allows


def ask(clock: Clock, gate: HostGate, allows: Allows, wanted: int, latency: float = 0.05) -> tuple[float, int]:
    """Ask until so many requests were answered; returns the seconds and the refusals."""
    begun, answered, refused = clock.now, 0, 0
    under_way = deque[tuple[float, float]]()
    while answered < wanted:
        while gate.enter(HOST):
            under_way.append((clock.now, clock.now + latency))
        if not under_way:
            clock.now += max(gate.wait(HOST), 0.001)
            continue
        asked_at, ready_at = under_way.popleft()
        clock.now = max(clock.now, ready_at)
        if allows(asked_at):
            answered += 1
            gate.answered(HOST)
        else:
            refused += 1
            assert not gate.refused(HOST, asked_at).hopeless
        gate.leave(HOST)
    return clock.now - begun, refused


@pytest.mark.parametrize("rate", [0.5, 2.0, 10.0, 40.0])
@pytest.mark.parametrize("burst", [1.0, 20.0])
def test_the_rate_of_a_host_is_found(clock: Clock, rate: float, burst: float) -> None:
    seconds, refused = ask(clock, HostGate(PLACES), bucket(rate, burst), 600)
    assert 600 / rate - burst / rate <= seconds + 1 < 1.7 * 600 / rate + 20  # to find a high rate takes longer
    assert refused < 100


@pytest.mark.parametrize(("count", "seconds"), [(100, 60.0), (20, 10.0), (1_000, 300.0)])
def test_a_host_that_counts_by_the_minute_is_waited_for(clock: Clock, count: int, seconds: float) -> None:
    took, refused = ask(clock, HostGate(PLACES), window(count, seconds), 5 * count)
    assert took < 2 * 5 * seconds
    assert refused < 5 * 20


def test_a_host_that_never_refuses_has_no_limit_but_its_places(clock: Clock) -> None:
    gate = HostGate(PLACES)
    seconds, _ = ask(clock, gate, lambda now: True, 400)
    assert seconds == pytest.approx(400 / PLACES * 0.05, rel=0.1)
    assert math.isinf(gate.room(HOST, 1))


def test_what_was_under_way_when_the_host_first_refused_is_one_refusal(clock: Clock) -> None:
    gate = HostGate(PLACES)
    asked_at = clock.now
    assert [gate.enter(HOST) for _ in range(PLACES + 1)] == [True] * PLACES + [False]
    clock.now += 0.1
    refusals = [gate.refused(HOST, asked_at) for _ in range(PLACES)]
    assert [refusal.in_a_row for refusal in refusals] == [1] * PLACES
    assert not any(refusal.known for refusal in refusals)
    assert gate.room(HOST, 100) == pytest.approx(70)


def test_pauses_grow_while_everything_is_refused_and_in_the_end_it_is_hopeless(clock: Clock) -> None:
    gate, begun, pauses = HostGate(PLACES), clock.now, list[float]()
    for number in range(1, MANY_REFUSALS + 1):
        clock.now += gate.wait(HOST)
        assert gate.enter(HOST)
        assert number == 1 or not gate.enter(HOST)  # one at a time
        refusal = gate.refused(HOST, clock.now)
        gate.leave(HOST)
        pauses.append(refusal.pause)
        assert (refusal.known, refusal.hopeless) == (number > 1, number == MANY_REFUSALS)
    assert 500 < clock.now - begun < 1_200
    assert pauses[:-1] == sorted(pauses[:-1])
    clock.now += gate.wait(HOST)
    gate.answered(HOST)
    assert gate.refused(HOST, clock.now).in_a_row == 1


def test_a_host_is_forgotten_after_a_while(clock: Clock) -> None:
    gate = HostGate(PLACES)
    gate.enter(HOST)
    gate.refused(HOST, clock.now)
    gate.leave(HOST)
    assert not gate.enter(HOST)
    clock.now += host_limits.FORGOTTEN_SECONDS + 1
    assert [gate.enter(HOST), gate.enter(HOST)] == [True, True]
    assert math.isinf(gate.room(HOST, 1))


def test_hosts_do_not_fill_the_memory(clock: Clock) -> None:
    gate = HostGate(PLACES)
    gate.enter("busy.example")
    gate.back_off("resting.example", datetime.now(UTC) + timedelta(days=1), "Rests.")
    for number in range(3 * host_limits.MAX_HOSTS):
        clock.now += 5
        gate.enter(f"{number}.example")
        gate.leave(f"{number}.example")
    assert len(gate._hosts) <= host_limits.MAX_HOSTS + 1
    assert gate.backed_off_until("resting.example")
    gate.leave("busy.example")
