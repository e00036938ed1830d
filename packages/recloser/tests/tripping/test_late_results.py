"""A call belongs to the generation that admitted it; what it says later counts in metrics and decides nothing."""

import asyncio
import threading

import pytest
from packages.recloser.tests.support import Boom, fail, listen, reach_probing, settings, succeed, trip

from recloser import CallFinished, CircuitBreaker, State, StateChanged
from recloser.testing import FakeClock


def test_late_success_does_not_close_an_open_circuit(breaker: CircuitBreaker) -> None:
    """A success that started before the circuit opened says nothing about now."""
    permit = breaker.acquire()
    trip(breaker)
    assert permit.success()
    assert breaker.state is State.OPEN
    assert breaker.retry_after == 10


async def test_late_success_does_not_close_an_open_circuit_async(breaker: CircuitBreaker) -> None:
    gate = asyncio.Event()
    started = asyncio.Event()

    async def slow() -> str:
        started.set()
        await gate.wait()
        return "late"

    task = asyncio.create_task(breaker.call(slow))
    await started.wait()
    trip(breaker)
    gate.set()
    assert await task == "late"
    assert breaker.state is State.OPEN
    assert breaker.retry_after == 10


def test_late_success_of_a_thread_does_not_close_an_open_circuit(breaker: CircuitBreaker) -> None:
    """With a thread."""
    gate, started = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        gate.wait()

    thread = threading.Thread(target=breaker.call, args=(slow,))
    thread.start()
    started.wait()
    trip(breaker)
    gate.set()
    thread.join()
    assert breaker.state is State.OPEN
    assert breaker.stats().successful == 1


def test_straggler_failures_restart_no_timer_and_make_no_second_event(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    """Five calls that fail after the circuit opened."""
    changes = listen(breaker, StateChanged)
    permits = [breaker.acquire() for _ in range(5)]
    trip(breaker)
    clock.advance(4)
    for permit in permits:
        assert permit.failure(Boom("straggler"))
    assert [change.to_state for change in changes] == [State.OPEN]
    assert breaker.retry_after == 6
    assert breaker.stats().attempt == 1
    assert breaker.stats().failed == 8


def test_late_failure_does_not_open_a_circuit_that_has_closed_again(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(failure_threshold=1), clock=clock)
    permit = breaker.acquire()
    reach_probing(breaker, clock)
    succeed(breaker)
    permit.failure()
    assert breaker.state is State.CLOSED
    assert breaker.stats().window_calls == 0


@pytest.mark.parametrize("word", ["success", "failure", "ignore"])
def test_late_result_leaves_a_half_open_circuit_as_it_is(breaker: CircuitBreaker, clock: FakeClock, word: str) -> None:
    """Neither the state nor the probe's slot changes."""
    late = breaker.acquire()
    reach_probing(breaker, clock)
    probe = breaker.acquire()
    assert getattr(late, word)()
    assert breaker.state is State.HALF_OPEN
    assert breaker.stats().in_flight == 1
    assert probe.success()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("word", ["success", "ignore"])
def test_late_result_does_not_probe_when_nobody_does(breaker: CircuitBreaker, clock: FakeClock, word: str) -> None:
    """The open time is over, and only a probe may close the circuit."""
    late = breaker.acquire()
    reach_probing(breaker, clock)
    getattr(late, word)()
    assert breaker.state is State.OPEN


def test_probe_of_one_opening_does_not_close_the_next(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(half_open_max_calls=2), clock=clock)
    reach_probing(breaker, clock)
    old, other = breaker.acquire(), breaker.acquire()
    other.failure()
    clock.advance(10)
    new = breaker.acquire()
    assert breaker.state is State.HALF_OPEN
    old.success()
    assert breaker.state is State.HALF_OPEN
    new.success()
    assert breaker.state is State.CLOSED


def test_late_result_is_counted_and_marked_as_late(breaker: CircuitBreaker, clock: FakeClock) -> None:
    finished = listen(breaker, CallFinished)
    permit = breaker.acquire()
    clock.advance(1)
    trip(breaker)
    permit.success()
    event = finished[-1]
    assert (event.outcome, event.duration, event.late) == ("success", 1, True)
    assert [item.late for item in finished[:-1]] == [False] * 3
    assert breaker.stats().successful == 1


def test_late_result_after_a_reset_stays_out_of_the_new_window(breaker: CircuitBreaker) -> None:
    permits = [breaker.acquire() for _ in range(3)]
    breaker.reset()
    for permit in permits:
        permit.failure()
    assert breaker.state is State.CLOSED
    assert breaker.stats().window_calls == 0


def test_results_of_calls_from_before_a_disable_stay_out_of_the_window(breaker: CircuitBreaker) -> None:
    permits = [breaker.acquire() for _ in range(3)]
    breaker.disable("maintenance")
    breaker.automatic("done")
    for permit in permits:
        permit.failure()
    assert breaker.state is State.CLOSED


def test_results_of_one_generation_still_count_in_any_order(breaker: CircuitBreaker) -> None:
    permits = [breaker.acquire() for _ in range(3)]
    for permit in reversed(permits):
        permit.failure()
    assert breaker.state is State.OPEN
    fail_again = breaker.stats().attempt
    assert fail_again == 1


def test_admitted_call_may_finish_while_the_circuit_is_open(breaker: CircuitBreaker) -> None:
    @breaker
    def opens_it_meanwhile() -> str:
        fail(breaker, 3)
        return "done"

    assert opens_it_meanwhile() == "done"
    assert breaker.state is State.OPEN
