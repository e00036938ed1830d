"""The invariants of the design, as properties."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import pytest
from hypothesis import given

from recloser import (
    CallFinished,
    CallRejected,
    CircuitBreaker,
    CircuitOpenError,
    Event,
    Permit,
    Settings,
    State,
    StateChanged,
)
from recloser.testing import FakeClock

WORDS: dict[str, Callable[[Permit], bool]] = {
    "success": Permit.success,
    "failure": Permit.failure,
    "ignore": Permit.ignore,
    "throttled": Permit.throttled,
    "settle": Permit.settle,
}


def tripped(**values: object) -> tuple[CircuitBreaker, FakeClock]:
    """A breaker that has just opened for 10 seconds."""
    clock = FakeClock()
    defaults = {"failure_threshold": 1, "open_for": 10.0, "half_open_timeout": 5.0}
    breaker = CircuitBreaker("t", Settings(**{**defaults, **values}), clock=clock)  # type: ignore[arg-type]
    breaker.acquire().failure()
    return breaker, clock


def admitted(breaker: CircuitBreaker) -> Permit | None:
    try:
        return breaker.acquire()
    except CircuitOpenError:
        return None


@given(limit=st.integers(1, 5), wanted=st.integers(1, 12), given_back=st.lists(st.integers(0, 4), max_size=6))
def test_probes_in_flight_never_exceed_the_permits(limit: int, wanted: int, given_back: list[int]) -> None:
    breaker, clock = tripped(half_open_max_calls=limit, success_threshold=100)
    clock.advance(10)
    running = [p for p in (admitted(breaker) for _ in range(wanted)) if p]
    assert len(running) == min(limit, wanted)
    for index in given_back:
        if index < len(running):
            running.pop(index).ignore()
        running += [p for p in (admitted(breaker) for _ in range(2)) if p]
        assert len(running) <= limit
        assert breaker.stats().in_flight == len(running)


@given(words=st.lists(st.sampled_from(sorted(WORDS)), min_size=1, max_size=6))
def test_a_permit_is_settled_by_its_first_word_alone(words: list[str]) -> None:
    breaker = CircuitBreaker("t", Settings(failure_threshold=5), clock=FakeClock())
    permit = breaker.acquire()
    assert [WORDS[word](permit) for word in words] == [True] + [False] * (len(words) - 1)
    stats = breaker.stats()
    assert sum(stats.calls.values()) == 1
    assert stats.in_flight == 0


@given(ends=st.lists(st.sampled_from([*sorted(WORDS), "drop", "hang"]), min_size=1, max_size=30))
def test_every_admitted_call_ends_in_exactly_one_status(ends: list[str]) -> None:
    breaker, clock = tripped(half_open_max_calls=2, success_threshold=3)
    calls, hung = 1, []
    for end in ends:
        clock.advance(4)
        permit = admitted(breaker)
        if permit is None:
            continue
        calls += 1
        if end == "hang":
            hung.append(permit)
        elif end != "drop":
            WORDS[end](permit)
        del permit
    stats = breaker.stats()
    assert sum(stats.calls.values()) - stats.rejected + stats.in_flight == calls


@given(ends=st.lists(st.sampled_from(["hang", "ignore", "drop", "success"]), min_size=1, max_size=6))
def test_half_open_is_bounded_in_time_whatever_callers_do(ends: list[str]) -> None:
    breaker, clock = tripped(half_open_max_calls=3, success_threshold=10)
    clock.advance(10)
    kept = []
    for end in ends:
        permit = admitted(breaker)
        if permit is not None and end == "hang":
            kept.append(permit)
        elif permit is not None and end != "drop":
            WORDS[end](permit)
        del permit
    assert breaker.state is State.HALF_OPEN
    clock.advance(5)
    assert breaker.state is State.OPEN
    clock.advance(10)
    assert admitted(breaker) is not None


def user_code_places() -> dict[str, Callable[[Callable[[], None]], tuple[CircuitBreaker, Callable[[], object]]]]:
    """Every place where a breaker runs code that is not its own: name -> (breaker, a call that gets there)."""

    def listener(kind: type[Event]) -> Callable[[Callable[[], None]], tuple[CircuitBreaker, Callable[[], object]]]:
        def build(probe: Callable[[], None]) -> tuple[CircuitBreaker, Callable[[], object]]:
            breaker = CircuitBreaker("t", Settings(failure_threshold=1))
            breaker.add_listener(lambda event: probe(), kinds=(kind,))
            return breaker, lambda: (breaker.acquire().failure(), admitted(breaker))

        return build

    def setting(
        name: str, answer: object
    ) -> Callable[[Callable[[], None]], tuple[CircuitBreaker, Callable[[], object]]]:
        def build(probe: Callable[[], None]) -> tuple[CircuitBreaker, Callable[[], object]]:
            def user_code(*args: object) -> object:
                probe()
                return answer

            breaker = CircuitBreaker("t", Settings(failure_threshold=1, **{name: user_code}))  # type: ignore[arg-type]

            def call() -> None:
                breaker.call(int)
                with pytest.raises(ZeroDivisionError):
                    breaker.call(divmod, 1, 0)

            return breaker, call

        return build

    def protected(probe: Callable[[], None]) -> tuple[CircuitBreaker, Callable[[], object]]:
        breaker = CircuitBreaker("t")
        return breaker, lambda: breaker.call(probe)

    def message(probe: Callable[[], None]) -> tuple[CircuitBreaker, Callable[[], object]]:
        class Talkative(Exception):
            def __str__(self) -> str:
                probe()
                return "talk"

        breaker = CircuitBreaker("t")
        return breaker, lambda: breaker.acquire().failure(Talkative())

    return {
        "protected function": protected,
        "state listener": listener(StateChanged),
        "rejection listener": listener(CallRejected),
        "call listener": listener(CallFinished),
        "recovery": setting("recovery", 5.0),
        "failure_on": setting("failure_on", True),
        "ignore": setting("ignore", False),
        "unreachable": setting("unreachable", False),
        "failure_on_result": setting("failure_on_result", False),
        "classify": setting("classify", None),
        "message of an exception": message,
    }


@pytest.mark.parametrize("place", user_code_places())
def test_no_lock_is_held_while_user_code_runs(place: str) -> None:
    reached: list[str] = []
    done: list[str] = []
    with ThreadPoolExecutor(1) as pool:

        def from_another_thread() -> None:
            if reached:  # what it does below may bring it here again
                return
            # Would time out if this thread, which is inside user code, held a lock of the breaker.
            pool.submit(breaker.stats).result(timeout=10)
            reached.append(place)
            pool.submit(admitted, breaker).result(timeout=10)
            done.append(place)

        breaker, call = user_code_places()[place](from_another_thread)
        call()
    assert done == reached == [place]


@given(jumps=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5))
def test_wall_clock_jumps_change_no_decision(jumps: list[float]) -> None:
    breaker, clock = tripped()
    for jump in jumps:
        clock.set_time(clock.time() + jump)
        clock.advance(1)
        assert admitted(breaker) is None
    clock.advance(10 - len(jumps))
    assert admitted(breaker) is not None


def test_events_of_many_threads_form_a_valid_path_and_agree_with_the_metrics() -> None:
    settings = Settings(failure_threshold=3, open_for=0.0005, half_open_max_calls=2, success_threshold=2)
    breaker = CircuitBreaker("t", settings)
    changes: list[StateChanged] = []
    finished: list[CallFinished] = []
    breaker.add_listener(changes.append, kinds=(StateChanged,))
    stop = breaker.add_listener(finished.append, kinds=(CallFinished,))

    def work(seed: int) -> tuple[int, int]:
        calls = rejections = 0
        for step in range(1_500):
            try:
                breaker.call(divmod, 1, (seed + step) % 9 < 5)
            except ZeroDivisionError:
                pass
            except CircuitOpenError:
                rejections += 1
                continue
            calls += 1
        return calls, rejections

    with ThreadPoolExecutor(8) as pool:
        totals = list(pool.map(work, range(8)))
    stop()
    stats = breaker.stats()
    assert changes[0].from_state is State.CLOSED
    assert all(a.to_state is b.from_state for a, b in itertools.pairwise(changes))
    assert changes[-1].to_state is stats.state
    assert len(changes) == sum(stats.transitions.values())
    assert len(finished) == sum(calls for calls, _ in totals) == sum(stats.calls.values()) - stats.rejected
    assert stats.rejected == sum(rejections for _, rejections in totals)
    assert stats.in_flight == 0


def test_two_threads_that_settle_one_permit_settle_it_once() -> None:
    breaker = CircuitBreaker("t", Settings(failure_threshold=10_000))
    barrier = threading.Barrier(2)

    def settle(permits: list[Permit]) -> int:
        won = 0
        for permit in permits:
            barrier.wait()
            won += permit.failure()
        return won

    permits = [breaker.acquire() for _ in range(200)]
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(settle, [permits, permits])) == 200
    assert breaker.stats().failed == 200
