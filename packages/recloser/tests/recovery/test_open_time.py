"""How a breaker uses its strategy: which attempt it is, when it is asked, and what happens when it breaks."""

import itertools
import logging
import random
import threading
from typing import Any

import pytest
from packages.recloser.tests.support import (
    Boom,
    fail,
    is_rejected,
    listen,
    raising,
    rates,
    reach_probing,
    settings,
    succeed,
    trip,
)

from recloser import (
    CallRejected,
    CircuitBreaker,
    CircuitOpenError,
    Exponential,
    Fixed,
    Linear,
    Opening,
    Outcome,
    State,
    StateChanged,
    TimeWindow,
)
from recloser.testing import FakeClock


def reopen(breaker: CircuitBreaker, clock: FakeClock) -> float:
    """Let the open time pass and a probe fail; the new open time."""
    assert breaker.retry_after is not None
    clock.advance(breaker.retry_after)
    fail(breaker)
    assert breaker.retry_after is not None
    return breaker.retry_after


def test_open_time_grows_with_each_failed_probe(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(recovery=Exponential(max_open=60)), clock=clock)
    trip(breaker)
    assert breaker.retry_after == 10
    assert [reopen(breaker, clock) for _ in range(4)] == [20, 40, 60, 60]
    assert breaker.stats().attempt == 5


def test_attempt_survives_half_open_and_starts_anew_on_close(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(recovery=Linear(), success_threshold=2), clock=clock)
    trip(breaker)
    assert reopen(breaker, clock) == 20
    clock.advance(20)
    succeed(breaker)
    assert breaker.stats().attempt == 2
    succeed(breaker)
    assert breaker.stats().attempt == 0
    trip(breaker)
    assert breaker.retry_after == 10


def test_dead_dependency_is_probed_once_per_open_time(clock: FakeClock) -> None:
    """Down for an hour, doubling to at most 60 s with full jitter."""
    chance = random.Random(13)
    recovery = Exponential(max_open=60, jitter=1.0, random=chance.random)
    breaker = CircuitBreaker("db", settings(recovery=recovery), clock=clock)
    trip(breaker)
    opened = clock.monotonic()
    probed_at: list[float] = []
    changes = listen(breaker, StateChanged)

    def probe() -> None:
        probed_at.append(clock.monotonic())
        raise Boom("still down")

    while clock.monotonic() < opened + 3_600:
        for _ in range(2):
            with pytest.raises((Boom, CircuitOpenError)):
                breaker.call(probe)
        clock.advance(1)
    waits = [change.open_for for change in changes if change.to_state is State.OPEN]
    gaps = [b - a for a, b in itertools.pairwise(probed_at)]
    assert all(gap >= wait for gap, wait in zip(gaps, waits, strict=False))
    assert len(probed_at) <= 70
    assert max(waits) == 60


def test_function_of_attempt_rate_and_outcome_is_a_strategy(clock: FakeClock) -> None:
    asked: list[tuple[int, float, Outcome | None]] = []

    def strategy(attempt: int, failure_rate: float, last_outcome: Outcome | None) -> float:
        asked.append((attempt, failure_rate, last_outcome))
        return 5.0 * attempt

    breaker = CircuitBreaker("db", settings(recovery=strategy), clock=clock)
    succeed(breaker)
    trip(breaker)
    assert breaker.retry_after == 5
    assert reopen(breaker, clock) == 10
    assert asked == [(1, 0.75, Outcome.FAILURE), (2, 0.75, Outcome.FAILURE)]


def test_object_with_open_duration_is_a_strategy(clock: FakeClock) -> None:
    class Own:
        def open_duration(self, base: float, opening: Opening) -> float:
            return base + opening.attempt

    breaker = CircuitBreaker("db", settings(recovery=Own()), clock=clock)
    trip(breaker)
    assert breaker.retry_after == 11


@pytest.mark.parametrize(
    ("how", "outcome"),
    [("failure", Outcome.FAILURE), ("slow", Outcome.SLOW), ("throttled", Outcome.THROTTLED), ("hung", None)],
)
def test_strategy_is_told_what_opened_the_circuit(clock: FakeClock, how: str, outcome: Outcome | None) -> None:
    told: list[Outcome | None] = []

    def strategy(attempt: int, failure_rate: float, last_outcome: Outcome | None) -> float:
        told.append(last_outcome)
        return 10.0

    rules = rates(slow_call_duration=1.0, slow_call_rate_threshold=0.5, recovery=strategy, window=TimeWindow(1_000, 10))
    breaker = CircuitBreaker("db", rules, clock=clock)
    fail(breaker, 2)
    clock.advance(10)
    probe = breaker.acquire()
    told.clear()
    if how == "hung":
        clock.advance(60)
        assert breaker.state is State.OPEN
    elif how == "slow":
        clock.advance(1)
        probe.success()
    else:
        getattr(probe, how)()
    assert told == [outcome]


def test_strategy_runs_outside_the_lock(clock: FakeClock) -> None:
    """It may look at the breaker, and even call it."""
    seen: list[object] = []

    def strategy(*_: object) -> float:
        seen.extend([breaker.state, is_rejected(breaker), breaker.stats().attempt])
        return 5.0

    breaker = CircuitBreaker("db", settings(recovery=strategy), clock=clock)
    trip(breaker)
    assert seen == [State.OPEN, True, 1]
    assert breaker.retry_after == 5


def test_other_threads_are_rejected_while_the_strategy_runs(clock: FakeClock) -> None:
    running, go_on = threading.Event(), threading.Event()

    def strategy(*_: object) -> float:
        running.set()
        go_on.wait()
        return 0.0

    breaker = CircuitBreaker("db", settings(recovery=strategy), clock=clock)
    thread = threading.Thread(target=fail, args=(breaker, 3))
    thread.start()
    running.wait()
    clock.advance(100)
    assert is_rejected(breaker)
    go_on.set()
    thread.join()
    assert not is_rejected(breaker)


@pytest.mark.parametrize("answer", [-1, float("nan"), float("inf"), None, "10", True])
def test_impossible_answer_is_logged_and_the_base_time_used(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    breaker = CircuitBreaker("db", settings(recovery=lambda *_: answer), clock=clock)
    with caplog.at_level(logging.ERROR, "recloser"):
        trip(breaker)
    assert breaker.retry_after == 10
    assert "must return a number of seconds" in caplog.text


def test_broken_strategy_is_logged_and_the_base_time_used(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    breaker = CircuitBreaker("db", settings(recovery=raising(ZeroDivisionError("a bug"))), clock=clock)
    with caplog.at_level(logging.ERROR, "recloser"):
        trip(breaker)
    assert breaker.retry_after == 10
    assert "ZeroDivisionError: a bug" in caplog.text


def test_interrupt_in_a_strategy_leaves_the_base_time(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(recovery=raising(KeyboardInterrupt())), clock=clock)
    fail(breaker, 2)
    with pytest.raises(KeyboardInterrupt):
        breaker.call(raising(Boom("third")))
    assert breaker.state is State.OPEN
    assert breaker.retry_after == 10


def test_uncapped_growth_beyond_all_numbers_falls_back_to_the_base_time(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = {**CircuitBreaker("db", clock=clock).snapshot(), "state": "open", "attempt": 5_000}
    breaker = CircuitBreaker.restore(snapshot, settings(recovery=Exponential(max_open=None)), clock=clock)
    with caplog.at_level(logging.ERROR, "recloser"):
        fail(breaker)
    assert breaker.stats().attempt == 5_001
    assert breaker.retry_after == 10
    assert "must return a number of seconds" in caplog.text


def test_open_time_of_zero_means_the_next_call_probes(clock: FakeClock) -> None:
    """0 is a value like another."""
    breaker = CircuitBreaker("db", settings(open_for=0.0), clock=clock)
    changes = listen(breaker, StateChanged)
    trip(breaker)
    assert breaker.retry_after == 0
    succeed(breaker)
    assert [change.to_state for change in changes] == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_event_has_the_open_time_of_the_strategy(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(recovery=Fixed(jitter=0.5, random=lambda: 1.0)), clock=clock)
    changes = listen(breaker, StateChanged)
    trip(breaker)
    assert changes[0].open_for == 15
    assert breaker.retry_after == 15


def test_retry_after_is_what_remains(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """Not a constant."""
    trip(breaker)
    rejections = listen(breaker, CallRejected)
    for remaining in (10, 7, 4, 1):
        assert breaker.retry_after == remaining
        with pytest.raises(CircuitOpenError) as caught:
            breaker.acquire()
        assert caught.value.retry_after == remaining
        clock.advance(3)
    assert [event.retry_after for event in rejections] == [10, 7, 4, 1]
    assert breaker.retry_after == 0


def test_probing_starts_when_the_jittered_time_is_over(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(recovery=Fixed(jitter=0.5, random=lambda: 0.0)), clock=clock)
    reach_probing(breaker, clock)
    assert clock.monotonic() == 1_005
    assert not is_rejected(breaker)
