"""Calls that take `slow_call_duration` or longer are slow; a share of them opens the circuit."""

import asyncio
from collections.abc import Callable

import pytest
from packages.recloser.tests.support import Boom, fail, is_rejected, listen, rates, succeed

from recloser import (
    CallFinished,
    CircuitBreaker,
    CircuitOpenError,
    CountWindow,
    Outcome,
    State,
    StateChanged,
    TimeWindow,
)
from recloser.testing import FakeClock


@pytest.fixture
def slow(clock: FakeClock) -> CircuitBreaker:
    """Opens when half of at least 4 calls take 1 s or longer."""
    settings = rates(
        failure_rate_threshold=None,
        slow_call_duration=1.0,
        slow_call_rate_threshold=0.5,
        minimum_calls=4,
        window=TimeWindow(60, 10),
    )
    return CircuitBreaker("db", settings, clock=clock)


@pytest.fixture
def take(slow: CircuitBreaker, clock: FakeClock) -> Callable[[float], None]:
    """Makes one call that takes so many seconds."""

    def one_call(seconds: float) -> None:
        slow.call(clock.advance, seconds)

    return one_call


def test_call_of_exactly_the_limit_is_slow(slow: CircuitBreaker, take: Callable[[float], None]) -> None:
    take(1.0)
    take(0.999)
    assert slow.stats().calls["slow"] == 1
    assert slow.stats().calls["success"] == 1
    assert slow.stats().slow_call_rate == 0.5


def test_slow_call_is_a_success_that_was_late(slow: CircuitBreaker, take: Callable[[float], None]) -> None:
    finished = listen(slow, CallFinished)
    take(1.5)
    assert [(event.outcome, event.duration) for event in finished] == [(Outcome.SLOW, 1.5)]
    assert slow.stats().successful == 1
    assert slow.stats().failed == 0


async def test_slow_call_is_a_success_that_was_late_async(slow: CircuitBreaker, clock: FakeClock) -> None:
    @slow
    async def call() -> None:
        clock.advance(1.5)

    await call()
    assert slow.stats().calls["slow"] == 1


def test_share_of_slow_calls_opens_it(slow: CircuitBreaker, take: Callable[[float], None]) -> None:
    changes = listen(slow, StateChanged)
    take(0.1)
    take(0.1)
    take(2)
    assert slow.state is State.CLOSED
    take(2)
    assert slow.state is State.OPEN
    assert changes[0].reason == "slow_call_rate"


def test_failed_call_can_be_slow_too(slow: CircuitBreaker, clock: FakeClock) -> None:
    def fail_late() -> None:
        clock.advance(2)
        raise Boom("after a long time")

    for _ in range(4):
        with pytest.raises(Boom):
            slow.call(fail_late)
    assert slow.stats().failed == 4
    assert slow.state is State.OPEN


def test_failures_alone_are_not_slow(slow: CircuitBreaker) -> None:
    fail(slow, 20)
    assert slow.state is State.CLOSED
    assert slow.stats().slow_call_rate == 0


def test_row_of_slow_calls_is_no_row_of_failures(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(slow_call_duration=1.0, failure_threshold=2), clock=clock)
    for _ in range(10):
        breaker.call(clock.advance, 5)
    assert breaker.state is State.CLOSED
    assert breaker.stats().calls["slow"] == 10


def test_slow_probe_opens_it_again(slow: CircuitBreaker, clock: FakeClock, take: Callable[[float], None]) -> None:
    for _ in range(4):
        take(2)
    clock.advance(10)
    take(2)
    assert slow.state is State.OPEN
    clock.advance(10)
    take(0.1)
    assert slow.state is State.CLOSED


def test_slow_probe_is_a_success_when_slowness_opens_nothing(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(slow_call_duration=1.0), clock=clock)
    fail(breaker, 2)
    clock.advance(10)
    breaker.call(clock.advance, 5)
    assert breaker.state is State.CLOSED


# Calls that are still running


@pytest.fixture
def impatient(clock: FakeClock) -> CircuitBreaker:
    """Counts a running call as slow after 1 s; opens when half of at least 10 calls are slow."""
    settings = rates(
        failure_rate_threshold=0.5,
        slow_call_duration=1.0,
        slow_call_rate_threshold=0.5,
        minimum_calls=10,
        window=CountWindow(20),
        count_in_flight_slow_calls=True,
    )
    return CircuitBreaker("db", settings, clock=clock)


def test_hung_calls_open_it_before_they_return(impatient: CircuitBreaker, clock: FakeClock) -> None:
    """None has finished, and the next call is rejected."""
    changes = listen(impatient, StateChanged)
    permits = [impatient.acquire() for _ in range(10)]
    clock.advance(0.999)
    assert impatient.state is State.CLOSED
    clock.advance(0.001)
    with pytest.raises(CircuitOpenError):
        impatient.acquire()
    assert [change.reason for change in changes] == ["slow_call_rate"]
    for permit in permits:
        assert permit.success()
    stats = impatient.stats()
    assert stats.calls["slow"] == 10
    assert (stats.state, stats.in_flight, len(changes)) == (State.OPEN, 0, 1)


async def test_hung_calls_open_it_before_they_return_async(impatient: CircuitBreaker, clock: FakeClock) -> None:
    """With tasks."""
    gate, all_running = asyncio.Event(), asyncio.Barrier(11)

    async def hang() -> None:
        await all_running.wait()
        await gate.wait()

    tasks = [asyncio.create_task(impatient.call(hang)) for _ in range(10)]
    await all_running.wait()
    clock.advance(1)
    assert is_rejected(impatient)
    gate.set()
    await asyncio.gather(*tasks)
    assert impatient.stats().calls["slow"] == 10
    assert impatient.state is State.OPEN


def test_running_slow_call_is_counted_once(impatient: CircuitBreaker, clock: FakeClock) -> None:
    permit = impatient.acquire()
    clock.advance(2)
    assert impatient.stats().window_calls == 1
    assert impatient.stats().slow_call_rate == 1
    permit.success()
    assert impatient.stats().window_calls == 1
    assert impatient.stats().calls["slow"] == 1


def test_running_slow_call_that_fails_becomes_a_slow_failure(impatient: CircuitBreaker, clock: FakeClock) -> None:
    permit = impatient.acquire()
    clock.advance(2)
    assert impatient.stats().failure_rate == 0
    permit.failure()
    stats = impatient.stats()
    assert (stats.window_calls, stats.failure_rate, stats.slow_call_rate) == (1, 1, 1)
    assert stats.consecutive_failures == 1


def test_failure_of_a_slow_call_that_has_left_the_window_changes_no_rate(
    impatient: CircuitBreaker, clock: FakeClock
) -> None:
    permit = impatient.acquire()
    clock.advance(2)
    succeed(impatient, 20)
    permit.failure()
    assert impatient.stats().failure_rate == 0
    assert impatient.stats().failed == 1


def test_failure_of_a_slow_call_in_a_time_window_keeps_its_bucket(impatient: CircuitBreaker, clock: FakeClock) -> None:
    impatient.reconfigure(impatient.settings.replace(window=TimeWindow(10, 10)))
    permit = impatient.acquire()
    clock.advance(2)
    assert impatient.stats().slow_call_rate == 1
    clock.advance(5)
    permit.failure()
    assert impatient.stats().failure_rate == 1
    clock.advance(5)
    assert impatient.stats().window_calls == 0


def test_failure_of_a_slow_call_whose_bucket_has_gone_changes_no_rate(
    impatient: CircuitBreaker, clock: FakeClock
) -> None:
    impatient.reconfigure(impatient.settings.replace(window=TimeWindow(10, 10)))
    permit = impatient.acquire()
    clock.advance(2)
    assert impatient.stats().slow_call_rate == 1
    clock.advance(30)
    succeed(impatient)
    permit.failure()
    assert impatient.stats().failure_rate == 0
    assert impatient.stats().window_calls == 1


def test_stream_with_a_prompt_first_item_is_not_slow_while_it_runs(impatient: CircuitBreaker, clock: FakeClock) -> None:
    """The time to the first item is the measure."""
    permit = impatient.acquire()
    clock.advance(0.2)
    permit.mark_first_item()
    clock.advance(3_600)
    assert impatient.stats().window_calls == 0
    permit.success()
    assert impatient.stats().calls["success"] == 1
    assert impatient.stats().slow_call_rate == 0


def test_running_calls_are_not_counted_unless_asked_for(slow: CircuitBreaker, clock: FakeClock) -> None:
    permits = [slow.acquire() for _ in range(10)]
    clock.advance(5)
    assert slow.stats().window_calls == 0
    assert not is_rejected(slow)
    for permit in permits:
        permit.ignore()
