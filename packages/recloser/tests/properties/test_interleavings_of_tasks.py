"""Every interleaving of a few protected coroutines, driven by hand: no scheduler, no chance."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

import pytest

from recloser import CircuitBreaker, CircuitOpenError, Settings, State
from recloser.testing import FakeClock


class _Pause(Awaitable[None]):
    def __await__(self) -> Generator[Any, Any, None]:
        yield


class Dependency:
    """Counts the calls that run in it."""

    def __init__(self) -> None:
        self.running = self.most = self.calls = 0

    async def use(self, fails: bool) -> str:
        self.running += 1
        self.calls += 1
        self.most = max(self.most, self.running)
        try:
            await _Pause()
            await _Pause()
            if fails:
                raise ConnectionError("down")
            return "answer"
        finally:
            self.running -= 1


def step(coroutine: Coroutine[Any, Any, Any]) -> str | None:
    """Run to the next pause; how it ended, or None when it has not."""
    try:
        coroutine.send(None)
    except StopIteration:
        return "answered"
    except ConnectionError:
        return "failed"
    except CircuitOpenError:
        return "rejected"
    return None


# Three tasks with three steps each: every order in which the nine steps can be taken.
SCHEDULES = sorted(set(itertools.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2])))


def run(schedule: tuple[int, ...], breaker: CircuitBreaker, dependency: Dependency, fails: list[bool]) -> list[str]:
    tasks: list[Any] = [breaker.call(dependency.use, fail) for fail in fails]
    ends: list[str | None] = [None] * len(tasks)
    for index in schedule:
        if ends[index] is None:
            ends[index] = step(tasks[index])
    assert None not in ends
    return [str(end) for end in ends]


@pytest.mark.parametrize("limit", [1, 2])
def test_probes_never_exceed_the_limit_in_any_interleaving(limit: int) -> None:
    assert len(SCHEDULES) == 1680
    for schedule in SCHEDULES:
        clock, dependency = FakeClock(), Dependency()
        settings = Settings(failure_threshold=1, open_for=10, half_open_max_calls=limit, success_threshold=3)
        breaker = CircuitBreaker("t", settings, clock=clock)
        breaker.acquire().failure()
        clock.advance(10)
        ends = run(schedule, breaker, dependency, [False, False, False])
        assert dependency.most <= limit
        assert ends.count("answered") == dependency.calls
        assert breaker.stats().in_flight == 0
        assert (breaker.state is State.CLOSED) == (ends.count("answered") == 3)


def test_one_failing_probe_opens_in_any_interleaving() -> None:
    for schedule in SCHEDULES:
        clock, dependency = FakeClock(), Dependency()
        settings = Settings(failure_threshold=1, open_for=10, half_open_max_calls=3, success_threshold=3)
        breaker = CircuitBreaker("t", settings, clock=clock)
        breaker.acquire().failure()
        clock.advance(10)
        ends = run(schedule, breaker, dependency, [True, False, False])
        assert ends[0] in ("failed", "rejected")
        if ends[0] == "failed":
            assert breaker.state is State.OPEN
            assert breaker.retry_after == 10


def test_failures_of_one_burst_open_the_circuit_once_in_any_interleaving() -> None:
    for schedule in SCHEDULES:
        clock, dependency = FakeClock(), Dependency()
        breaker = CircuitBreaker("t", Settings(failure_threshold=2, open_for=10), clock=clock)
        ends = run(schedule, breaker, dependency, [True, True, True])
        assert breaker.state is State.OPEN
        assert breaker.stats().transitions == {(State.CLOSED, State.OPEN): 1}
        assert ends.count("failed") == dependency.calls >= 2
