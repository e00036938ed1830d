"""At most `half_open_max_calls` probes run at once, and every slot comes back."""

import asyncio
import gc
import threading

import pytest
from packages.recloser.tests.support import fail, is_rejected, listen, ok, reach_probing, settings, succeed

from recloser import CircuitBreaker, CircuitOpenError, State, StateChanged
from recloser.testing import FakeClock


def test_first_call_after_the_open_time_is_a_probe(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    assert breaker.state is State.OPEN
    breaker.acquire()
    gc.collect()
    assert breaker.state is State.HALF_OPEN


def test_no_probe_before_the_open_time_is_over(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker, 3)
    clock.advance(9.999)
    assert is_rejected(breaker)
    clock.advance(0.001)
    assert not is_rejected(breaker)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_probes_beyond_the_slots_are_rejected(clock: FakeClock, slots: int) -> None:
    breaker = CircuitBreaker("db", settings(half_open_max_calls=slots, success_threshold=10), clock=clock)
    reach_probing(breaker, clock)
    permits = [breaker.acquire() for _ in range(slots)]
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    assert caught.value.reason == "half_open_full"
    assert caught.value.state == "half_open"
    permits[0].success()
    assert breaker.acquire().success()


@pytest.mark.parametrize("slots", [1, 2])
def test_threads_at_the_boundary_start_no_more_probes_than_slots(clock: FakeClock, slots: int) -> None:
    """With threads."""
    breaker = CircuitBreaker("db", settings(half_open_max_calls=slots, success_threshold=10), clock=clock)
    reach_probing(breaker, clock)
    threads = 8
    barrier, all_asked, gate = threading.Barrier(threads), threading.Semaphore(0), threading.Event()
    started: list[int] = []
    rejections: list[CircuitOpenError] = []

    def probe() -> None:
        started.append(1)
        all_asked.release()
        gate.wait()

    def work() -> None:
        barrier.wait()
        try:
            breaker.call(probe)
        except CircuitOpenError as exc:
            rejections.append(exc)
            all_asked.release()

    pool = [threading.Thread(target=work) for _ in range(threads)]
    for thread in pool:
        thread.start()
    for _ in range(threads):
        all_asked.acquire()
    gate.set()
    for thread in pool:
        thread.join()
    assert len(started) == slots
    assert len(rejections) == threads - slots
    assert all(exc.retry_after is not None and exc.retry_after > 0 for exc in rejections)


@pytest.mark.parametrize(("callers", "slots"), [(50, 1), (100, 2)])
async def test_tasks_at_the_boundary_start_no_more_probes_than_slots(
    clock: FakeClock, callers: int, slots: int
) -> None:
    """With tasks."""
    breaker = CircuitBreaker("db", settings(half_open_max_calls=slots, success_threshold=10), clock=clock)
    reach_probing(breaker, clock)
    gate = asyncio.Event()
    started: list[int] = []

    async def probe() -> None:
        started.append(1)
        await gate.wait()

    tasks = [asyncio.create_task(breaker.call(probe)) for _ in range(callers)]
    rejected, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    gate.set()
    await asyncio.wait(tasks)
    errors = [task.exception() for task in tasks if task.exception() is not None]
    assert len(started) == slots
    assert len(errors) == callers - slots
    assert all(isinstance(exc, CircuitOpenError) and (exc.retry_after or 0) > 0 for exc in errors)
    assert len(rejected) <= callers - slots


def test_looking_at_the_breaker_takes_no_slot(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """Reads are reads, in open and in half-open."""
    reach_probing(breaker, clock)
    for _ in range(100):
        assert breaker.state is State.OPEN
        assert breaker.retry_after == 0
        breaker.stats()
        breaker.snapshot()
        repr(breaker)
    permit = breaker.acquire()
    permit.ignore()
    for _ in range(100):
        assert breaker.state is State.HALF_OPEN
        assert breaker.retry_after == 0
        breaker.stats()
        breaker.snapshot()
        repr(breaker)
    assert not is_rejected(breaker)


def test_probe_that_calls_its_own_breaker_is_rejected_inside(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """A nested call is a call of its own, and does not take a second slot silently."""
    reach_probing(breaker, clock)

    def nested() -> bool:
        return is_rejected(breaker)

    assert breaker.call(nested)
    assert breaker.state is State.CLOSED


def test_slots_may_be_fewer_than_the_successes_needed(clock: FakeClock) -> None:
    """Slots come back as probes end."""
    breaker = CircuitBreaker("db", settings(half_open_max_calls=2, success_threshold=3), clock=clock)
    reach_probing(breaker, clock)
    succeed(breaker, 2)
    assert breaker.state is State.HALF_OPEN
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_rejected_probe_takes_nothing_and_counts_as_rejected(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    permit = breaker.acquire()
    assert all(is_rejected(breaker) for _ in range(5))
    stats = breaker.stats()
    assert stats.rejections == {"half_open_full": 5}
    assert stats.in_flight == 1
    permit.success()
    assert breaker.call(ok) == "fine"


def test_more_slots_by_reconfigure_are_there_at_once(breaker: CircuitBreaker, clock: FakeClock) -> None:
    changes = listen(breaker, StateChanged)
    reach_probing(breaker, clock)
    first = breaker.acquire()
    assert is_rejected(breaker)
    breaker.reconfigure(breaker.settings.replace(half_open_max_calls=2, success_threshold=2))
    second = breaker.acquire()
    first.success()
    second.success()
    assert [change.to_state for change in changes] == [State.OPEN, State.HALF_OPEN, State.CLOSED]
