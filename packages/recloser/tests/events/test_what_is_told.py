"""The events of a breaker: a valid path of the state diagram, each once, in order, and complete."""

import dataclasses
import random
import threading
from typing import Any

import pytest
from packages.recloser.tests.support import (
    Boom,
    boom,
    fail,
    is_rejected,
    listen,
    ok,
    raising,
    reach_probing,
    settings,
    succeed,
    trip,
)

from recloser import (
    BreakerReset,
    CallFinished,
    CallRejected,
    CircuitBreaker,
    CircuitOpenError,
    ControlChanged,
    Event,
    Outcome,
    State,
    StateChanged,
)
from recloser.testing import FakeClock

ALL_BUT_CALLS = [StateChanged, CallRejected, ControlChanged, ControlChanged, BreakerReset, StateChanged]
DIAGRAM = {
    (State.CLOSED, State.OPEN),
    (State.OPEN, State.HALF_OPEN),
    (State.HALF_OPEN, State.CLOSED),
    (State.HALF_OPEN, State.OPEN),
}


def assert_valid_path(changes: list[StateChanged]) -> None:
    state = State.CLOSED
    for change in changes:
        assert change.from_state is state
        assert (change.from_state, change.to_state) in DIAGRAM
        state = change.to_state


def test_whole_life_in_order(breaker: CircuitBreaker, clock: FakeClock) -> None:
    seen = listen(breaker)
    start = clock.time()
    fail(breaker, 3)
    assert is_rejected(breaker)
    clock.advance(10)
    succeed(breaker)
    opened: dict[str, Any] = {"breaker": "db", "time": start}
    later: dict[str, Any] = {"breaker": "db", "time": start + 10}
    failed = CallFinished(**opened, outcome="failure", duration=0.0, late=False)
    assert seen == [
        failed,
        failed,
        failed,
        StateChanged(
            **opened,
            from_state=State.CLOSED,
            to_state=State.OPEN,
            reason="consecutive_failures",
            detail="Boom: down",
            open_for=10.0,
            attempt=1,
        ),
        CallRejected(**opened, reason="open", retry_after=10.0),
        StateChanged(**later, from_state=State.OPEN, to_state=State.HALF_OPEN, reason="open_elapsed", attempt=1),
        CallFinished(**later, outcome="success", duration=0.0, late=False),
        StateChanged(**later, from_state=State.HALF_OPEN, to_state=State.CLOSED, reason="probes_succeeded"),
    ]


@pytest.mark.parametrize(
    ("act", "reason", "detail"),
    [
        (lambda breaker, clock: trip(breaker), "consecutive_failures", "Boom: down"),
        (lambda breaker, clock: breaker.acquire().throttled(5), "throttled", None),
        (lambda breaker, clock: breaker.force_open("maintenance"), "operator", "maintenance"),
    ],
)
def test_opening_says_why(breaker: CircuitBreaker, clock: FakeClock, act: Any, reason: str, detail: str | None) -> None:
    changes = listen(breaker, StateChanged)
    act(breaker, clock)
    assert [(change.reason, change.detail) for change in changes] == [(reason, detail)]


def test_each_outcome_is_told_once(breaker: CircuitBreaker) -> None:
    seen = listen(breaker, CallFinished)
    succeed(breaker)
    fail(breaker)
    permit = breaker.acquire()
    permit.ignore()
    permit.success()
    assert [event.outcome for event in seen] == ["success", "failure", "ignored"]


def test_rejection_says_when_to_come_back(breaker: CircuitBreaker, clock: FakeClock) -> None:
    seen = listen(breaker, CallRejected)
    trip(breaker)
    clock.advance(3)
    is_rejected(breaker)
    clock.advance(7)
    probe = breaker.acquire()
    is_rejected(breaker)
    breaker.force_open("maintenance")
    is_rejected(breaker)
    probe.ignore()
    assert [(event.reason, event.retry_after, event.observed) for event in seen] == [
        ("open", 7, False),
        ("half_open_full", 60, False),
        ("forced_open", None, False),
    ]


def test_reads_make_no_events(breaker: CircuitBreaker) -> None:
    seen = listen(breaker)
    breaker.stats()
    breaker.snapshot()
    repr((breaker, breaker.state, breaker.control, breaker.retry_after, breaker.idle, breaker.evictable))
    breaker.reconfigure(settings(failure_threshold=9))
    assert seen == []


def test_events_are_values(breaker: CircuitBreaker) -> None:
    seen = listen(breaker)
    trip(breaker)
    for event in seen:
        assert dataclasses.replace(event) == event
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.breaker = "other"


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (
            (Event,),
            [*[CallFinished] * 3, StateChanged, CallRejected, *[ControlChanged] * 2, BreakerReset, StateChanged],
        ),
        ((StateChanged,), [StateChanged] * 2),
        ((CallRejected,), [CallRejected]),
        ((CallFinished, BreakerReset), [*[CallFinished] * 3, BreakerReset]),
        ((ControlChanged,), [ControlChanged] * 2),
    ],
)
def test_listener_hears_the_kinds_it_asked_for(
    breaker: CircuitBreaker, kinds: tuple[type[Event], ...], expected: list[type[Event]]
) -> None:
    seen = listen(breaker, *kinds)
    trip(breaker)
    is_rejected(breaker)
    breaker.observe_only("watch")
    breaker.reset("fixed")
    assert [type(event) for event in seen] == expected


def test_threads_see_a_valid_path(clock: FakeClock) -> None:
    """Many threads, random results, time going on; the metrics agree with the events."""
    breaker = CircuitBreaker("db", settings(open_for=0.01, half_open_max_calls=2, success_threshold=2), clock=clock)
    changes = listen(breaker, StateChanged)
    finished = listen(breaker, CallFinished)
    unexpected: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(1_000):
            if chance.random() < 0.05:
                clock.advance(0.005)
            try:
                breaker.call(boom if chance.random() < 0.4 else ok)
            except (Boom, CircuitOpenError):
                pass
            except BaseException as exc:
                unexpected.append(exc)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unexpected == []
    assert_valid_path(changes)
    assert len(changes) > 10
    stats = breaker.stats()
    assert stats.state is changes[-1].to_state
    counted: dict[tuple[State, State], int] = {}
    for change in changes:
        pair = (change.from_state, change.to_state)
        counted[pair] = counted.get(pair, 0) + 1
    assert counted == stats.transitions
    assert stats.successful + stats.failed == len(finished)
    assert sum(stats.calls.values()) == 8_000
    assert stats.in_flight == 0


def test_operator_s_changes_are_a_path_too(breaker: CircuitBreaker, clock: FakeClock) -> None:
    changes = listen(breaker, StateChanged)
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    breaker.force_open("maintenance")
    breaker.force_closed("done")
    breaker.force_open("again")
    breaker.reset()
    probe.success()
    state = State.CLOSED
    for change in changes:
        assert change.from_state is state
        state = change.to_state
    assert state is breaker.state is State.CLOSED


def test_failing_strategy_does_not_lose_the_event(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    breaker = CircuitBreaker("db", settings(recovery=raising(ZeroDivisionError("bug"))), clock=clock)
    changes = listen(breaker, StateChanged)
    trip(breaker)
    assert [change.open_for for change in changes] == [10]
    assert "ZeroDivisionError" in caplog.text


def test_expired_probe_is_told_before_the_circuit_opens(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(half_open_timeout=5.0), clock=clock)
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    seen = listen(breaker, CallFinished, StateChanged)
    clock.advance(7)
    assert breaker.state is State.OPEN
    assert probe.settled
    finished, changed = seen
    assert (finished.outcome, finished.duration, finished.late) == (Outcome.EXPIRED, 5.0, False)
    assert changed.reason == "half_open_timeout"
