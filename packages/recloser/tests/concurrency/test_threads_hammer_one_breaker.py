"""Threads that do everything at once to one breaker: every call is counted, and the events are a path of the diagram.

On a free-threaded build they really run at once; elsewhere the interpreter switches between them as often as it can.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from packages.recloser.tests.support import Boom

from recloser import CircuitBreaker, CircuitOpenError, CountWindow, Settings, State, StateChanged, TimeWindow

THREADS = 4
CALLS = 300
NEVER = Settings(failure_threshold=10**9, window=CountWindow(16))


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], Any], threads: int = THREADS) -> None:
    """Run `work(index)` in all threads at once; an error in one of them is raised."""
    barrier = threading.Barrier(threads)
    errors: list[BaseException] = []

    def run(index: int) -> None:
        barrier.wait()
        try:
            work(index)
        except BaseException as exc:
            errors.append(exc)

    running = [threading.Thread(target=run, args=(index,)) for index in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not errors, errors


def fine(number: int) -> int:
    return number


def down(number: int) -> int:
    raise Boom(str(number))


async def fine_async(number: int) -> int:
    await asyncio.sleep(0)
    return number


def items(number: int) -> Iterator[int]:
    yield number


async def items_async(number: int) -> AsyncIterator[int]:
    yield number


@pytest.mark.parametrize("window", [CountWindow(16), TimeWindow(60.0, 6)], ids=["count", "time"])
def test_no_call_is_lost(window: CountWindow | TimeWindow) -> None:
    breaker = CircuitBreaker("t", NEVER.replace(window=window))
    protected, failing, stream = breaker(fine), breaker(down), breaker(items)

    def work(index: int) -> None:
        for number in range(CALLS):
            assert protected(number) == number
            assert list(stream(number)) == [number]
            with contextlib.suppress(Boom):
                failing(number)
            with breaker:
                pass

    in_threads(work)
    stats = breaker.stats()
    assert stats.successful == 3 * THREADS * CALLS
    assert stats.failed == THREADS * CALLS
    assert sum(stats.duration_buckets) == 4 * THREADS * CALLS
    assert stats.window_calls == (16 if isinstance(window, CountWindow) else 4 * THREADS * CALLS)
    assert stats.in_flight == 0


def test_no_call_of_event_loops_in_threads_is_lost() -> None:
    breaker = CircuitBreaker("t", NEVER)
    protected, stream = breaker(fine_async), breaker(items_async)

    async def main() -> None:
        for number in range(CALLS // 10):
            assert await asyncio.gather(*(protected(n) for n in range(10))) == list(range(10))
            assert [item async for item in stream(number)] == [number]

    in_threads(lambda index: asyncio.run(main()))
    assert breaker.stats().successful == THREADS * (CALLS + CALLS // 10)
    assert breaker.stats().in_flight == 0


def test_states_are_a_path_of_the_diagram_and_probes_are_bounded() -> None:
    breaker = CircuitBreaker(
        "t", Settings(failure_threshold=3, open_for=0.0, half_open_max_calls=2, success_threshold=2)
    )
    path: list[StateChanged] = []
    breaker.add_listener(path.append, (StateChanged,))
    rejected, entered = [0] * THREADS, [0] * THREADS

    def work(index: int) -> None:
        def call() -> None:
            entered[index] += 1
            if (entered[index] + index) % 5 < 3:
                raise Boom("down")

        protected = breaker(call)
        for _ in range(CALLS):
            try:
                protected()
            except CircuitOpenError:
                rejected[index] += 1
            except Boom:
                pass

    in_threads(work)
    steps = [(event.from_state, event.to_state) for event in path]
    assert steps[0] == (State.CLOSED, State.OPEN)
    assert all(before[1] is after[0] for before, after in pairwise(steps))
    stats = breaker.stats()
    assert sum(entered) + sum(rejected) == THREADS * CALLS
    assert stats.successful + stats.failed == sum(entered)
    assert stats.calls["rejected"] == sum(rejected)
    assert sum(stats.transitions.values()) == len(steps)
    assert stats.in_flight == 0


def test_probes_at_once_never_exceed_the_permits() -> None:
    breaker = CircuitBreaker(
        "t", Settings(failure_threshold=1, open_for=0.0, half_open_max_calls=2, success_threshold=9)
    )
    lock = threading.Lock()
    now, most = 0, 0

    def probe() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        with lock:
            now -= 1
        raise Boom("down")

    protected = breaker(probe)
    with contextlib.suppress(Boom):
        breaker.call(down, 1)

    def work(index: int) -> None:
        for _ in range(CALLS):
            with contextlib.suppress(Boom, CircuitOpenError):
                protected()

    in_threads(work)
    assert 1 <= most <= 2
    assert breaker.stats().in_flight == 0


def test_operating_and_reading_beside_calls_disturbs_nothing() -> None:
    breaker = CircuitBreaker("t", NEVER)
    protected = breaker(fine)
    other = NEVER.replace(window=TimeWindow(60.0, 6))

    def work(index: int) -> None:
        for number in range(CALLS):
            if index:
                assert protected(number) == number
            elif number % 3 == 0:
                breaker.reconfigure(other if number % 2 else NEVER)
            elif number % 3 == 1:
                breaker.add_listener(lambda event: None)()
            else:
                assert 0 <= breaker.stats().in_flight <= THREADS

    in_threads(work)
    assert breaker.stats().successful == (THREADS - 1) * CALLS
    assert breaker.stats().in_flight == 0
