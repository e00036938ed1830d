"""Threads that meet at a boundary of the state machine, 200 rounds each: exactly what is allowed happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from recloser import CircuitBreaker, CircuitOpenError, Permit, Settings, State, StateChanged
from recloser.testing import FakeClock

THREADS = 8
ROUNDS = 200


@contextmanager
def meeting() -> Iterator[Callable[[Callable[[int], object]], list[object]]]:
    """Runs an action in all threads at the same moment, and gives their results."""
    barrier = threading.Barrier(THREADS)

    def together(action: Callable[[int], object]) -> list[object]:
        def arrive(index: int) -> object:
            barrier.wait()
            return action(index)

        return list(pool.map(arrive, range(THREADS)))

    with ThreadPoolExecutor(THREADS) as pool:
        yield together


def test_closed_to_open_happens_once_and_nothing_gets_through_after() -> None:
    with meeting() as together:
        for _ in range(ROUNDS):
            clock, events = FakeClock(), []
            breaker = CircuitBreaker("t", Settings(failure_threshold=3, open_for=10), clock=clock)
            breaker.add_listener(events.append, kinds=(StateChanged,))
            permits = [breaker.acquire() for _ in range(THREADS)]
            together(lambda index, permits=permits: permits[index].failure())
            assert [event.to_state for event in events] == [State.OPEN]
            assert breaker.stats().failed == THREADS
            assert together(lambda index, breaker=breaker: _started(breaker) is None) == [True] * THREADS


def test_open_to_half_open_admits_exactly_the_probes() -> None:
    with meeting() as together:
        for round_ in range(ROUNDS):
            limit = 1 + round_ % 3
            breaker, clock = _open(half_open_max_calls=limit, success_threshold=THREADS)
            clock.advance(10)
            started = [p for p in together(lambda index, breaker=breaker: _started(breaker)) if p]
            assert len(started) == limit
            assert breaker.stats().transitions[State.OPEN, State.HALF_OPEN] == 1


def test_half_open_to_closed_happens_once() -> None:
    with meeting() as together:
        for _ in range(ROUNDS):
            breaker, clock = _open(half_open_max_calls=THREADS, success_threshold=3)
            clock.advance(10)
            probes = [breaker.acquire() for _ in range(THREADS)]
            together(lambda index, probes=probes: probes[index].success())
            assert breaker.state is State.CLOSED
            assert breaker.stats().transitions[State.HALF_OPEN, State.CLOSED] == 1


def test_half_open_to_open_and_closed_at_once_ends_in_one_of_them() -> None:
    with meeting() as together:
        for _ in range(ROUNDS):
            breaker, clock = _open(half_open_max_calls=THREADS, success_threshold=4)
            clock.advance(10)
            probes = [breaker.acquire() for _ in range(THREADS)]
            together(lambda i, probes=probes: probes[i].failure() if i % 4 == 3 else probes[i].success())
            transitions = breaker.stats().transitions
            left = transitions.get((State.HALF_OPEN, State.OPEN), 0) + transitions.get(
                (State.HALF_OPEN, State.CLOSED), 0
            )
            assert left == 1
            assert breaker.state in (State.OPEN, State.CLOSED)
            assert breaker.stats().in_flight == 0


def test_slots_given_back_are_taken_once_each() -> None:
    with meeting() as together:
        breaker, clock = _open(half_open_max_calls=2, success_threshold=10_000, half_open_timeout=1e6)
        clock.advance(10)
        running, most, lock = 0, 0, threading.Lock()

        def probe(index: int) -> None:
            nonlocal running, most
            permit = _started(breaker)
            if permit is None:
                return
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1
            permit.ignore()

        for _ in range(ROUNDS):
            together(probe)
        assert most <= 2
        assert breaker.stats().in_flight == 0
        assert breaker.state is State.HALF_OPEN


def test_an_expired_half_open_period_admits_one_new_probe() -> None:
    with meeting() as together:
        for _ in range(ROUNDS):
            breaker, clock = _open(half_open_timeout=5)
            clock.advance(10)
            hung = breaker.acquire()
            clock.advance(5 + 10)
            started = [p for p in together(lambda index, breaker=breaker: _started(breaker)) if p]
            assert len(started) == 1
            assert hung.settled


def test_an_operator_and_callers_at_once_leave_the_operator_in_control() -> None:
    with meeting() as together:
        for _ in range(ROUNDS):
            breaker, clock = _open(success_threshold=1)
            clock.advance(10)

            def act(index: int, breaker: CircuitBreaker = breaker) -> None:
                if index == 0:
                    breaker.force_open("maintenance")
                    return
                permit = _started(breaker)
                if permit is not None:
                    permit.success()

            together(act)
            assert breaker.state is State.OPEN
            assert _started(breaker) is None


def _open(**values: object) -> tuple[CircuitBreaker, FakeClock]:
    clock = FakeClock()
    breaker = CircuitBreaker(
        "t",
        Settings(**{"failure_threshold": 1, "open_for": 10.0, **values}),  # type: ignore[arg-type]
        clock=clock,
    )
    breaker.acquire().failure()
    return breaker, clock


def _started(breaker: CircuitBreaker) -> Permit | None:
    try:
        return breaker.acquire()
    except CircuitOpenError:
        return None
