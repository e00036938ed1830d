"""`with breaker:` and `async with breaker:`, in whatever order blocks are entered and left."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack

import pytest
from packages.recloser.tests.support import Boom, fail, listen, reach_probing, trip

from recloser import CallFinished, CircuitBreaker, CircuitOpenError, Outcome, State
from recloser.testing import FakeClock


def test_block_that_ends_is_a_success(breaker: CircuitBreaker) -> None:
    with breaker:
        assert breaker.stats().in_flight == 1
    assert breaker.stats().successful == 1
    assert breaker.stats().in_flight == 0


async def test_block_that_ends_is_a_success_async(breaker: CircuitBreaker) -> None:
    async with breaker:
        assert breaker.stats().in_flight == 1
    assert breaker.stats().successful == 1
    assert breaker.stats().in_flight == 0


def test_block_that_raises_is_a_failure_and_the_error_propagates(breaker: CircuitBreaker) -> None:
    """The same exception object leaves the block."""
    error = Boom("down")
    with pytest.raises(Boom) as caught, breaker:
        raise error
    assert caught.value is error
    assert breaker.stats().failed == 1


async def test_block_that_raises_is_a_failure_and_the_error_propagates_async(breaker: CircuitBreaker) -> None:
    """The same exception object leaves the block."""
    error = Boom("down")
    with pytest.raises(Boom) as caught:
        async with breaker:
            raise error
    assert caught.value is error
    assert breaker.stats().failed == 1


def test_rejected_block_does_not_run(breaker: CircuitBreaker) -> None:
    trip(breaker)
    ran = False
    with pytest.raises(CircuitOpenError), breaker:
        ran = True
    assert not ran


async def test_rejected_block_does_not_run_async(breaker: CircuitBreaker) -> None:
    trip(breaker)
    ran = False
    with pytest.raises(CircuitOpenError):
        async with breaker:
            ran = True
    assert not ran


def test_word_spoken_inside_the_block_counts(breaker: CircuitBreaker) -> None:
    with breaker as permit:
        permit.failure()
    assert (breaker.stats().failed, breaker.stats().successful) == (1, 0)


async def test_word_spoken_inside_the_block_counts_async(breaker: CircuitBreaker) -> None:
    async with breaker as permit:
        permit.failure()
    assert (breaker.stats().failed, breaker.stats().successful) == (1, 0)


def test_return_out_of_a_block_is_a_success(breaker: CircuitBreaker) -> None:
    def early() -> int:
        with breaker:
            return 1

    assert early() == 1
    assert breaker.stats().successful == 1


def test_nested_blocks_of_one_breaker_settle_each_its_own(breaker: CircuitBreaker) -> None:
    with breaker as outer:
        with pytest.raises(Boom), breaker as inner:
            raise Boom("inner")
        assert inner.settled
        assert not outer.settled
    assert (breaker.stats().failed, breaker.stats().successful) == (1, 1)


def test_exit_stack_enters_and_leaves(breaker: CircuitBreaker) -> None:
    with ExitStack() as stack:
        permits = [stack.enter_context(breaker) for _ in range(3)]
        assert breaker.stats().in_flight == 3
    assert all(permit.settled for permit in permits)
    assert breaker.stats().successful == 3


async def test_async_exit_stack_enters_and_leaves(breaker: CircuitBreaker) -> None:
    async with AsyncExitStack() as stack:
        permits = [await stack.enter_async_context(breaker) for _ in range(3)]
        assert breaker.stats().in_flight == 3
    assert all(permit.settled for permit in permits)
    assert breaker.stats().successful == 3


def test_exit_stack_passes_the_error_on(breaker: CircuitBreaker) -> None:
    with pytest.raises(Boom), ExitStack() as stack:
        stack.enter_context(breaker)
        raise Boom("down")
    assert breaker.stats().failed == 1


async def test_async_exit_stack_passes_the_error_on(breaker: CircuitBreaker) -> None:
    with pytest.raises(Boom):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(breaker)
            raise Boom("down")
    assert breaker.stats().failed == 1


def test_exit_stack_left_before_a_block_that_was_entered_later(breaker: CircuitBreaker) -> None:
    stack = ExitStack()
    stack.enter_context(breaker)
    with breaker:
        stack.close()
        assert breaker.stats().in_flight == 1
    assert breaker.stats().in_flight == 0
    assert breaker.stats().successful == 2


def test_exit_stack_closed_in_another_thread(breaker: CircuitBreaker) -> None:
    stack = ExitStack()
    permit = stack.enter_context(breaker)
    thread = threading.Thread(target=stack.close)
    thread.start()
    thread.join()
    assert permit.settled
    assert breaker.stats().successful == 1


def guarded(breaker: CircuitBreaker, name: str) -> Iterator[str]:
    with breaker:
        yield f"{name} in"
        yield f"{name} out"


def test_generators_interleaved_in_one_thread_settle_each_its_own(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """First in, first out: the wrong order for a stack."""
    finished = listen(breaker, CallFinished)
    first, second = guarded(breaker, "first"), guarded(breaker, "second")
    next(first)
    clock.advance(1)
    next(second)
    clock.advance(2)
    with pytest.raises(Boom):
        first.throw(Boom("first"))
    assert [(event.outcome, event.duration) for event in finished] == [(Outcome.FAILURE, 3)]
    assert list(second) == ["second out"]
    assert [(event.outcome, event.duration) for event in finished[1:]] == [(Outcome.SUCCESS, 2)]


async def test_async_generators_interleaved_in_one_task_settle_each_its_own(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    """First in, first out: the wrong order for a stack."""

    async def guarded_async() -> AsyncIterator[str]:
        async with breaker:
            yield "in"
            yield "out"

    finished = listen(breaker, CallFinished)
    first, second = guarded_async(), guarded_async()
    await anext(first)
    clock.advance(1)
    await anext(second)
    clock.advance(2)
    with pytest.raises(Boom):
        await first.athrow(Boom("first"))  # type: ignore[attr-defined]
    assert [(event.outcome, event.duration) for event in finished] == [(Outcome.FAILURE, 3)]
    assert [item async for item in second] == ["out"]
    assert [(event.outcome, event.duration) for event in finished[1:]] == [(Outcome.SUCCESS, 2)]


def test_generator_resumed_in_another_thread_settles_its_own(breaker: CircuitBreaker, clock: FakeClock) -> None:
    finished = listen(breaker, CallFinished)
    stream = guarded(breaker, "moved")
    next(stream)
    clock.advance(5)

    def resume() -> None:
        with breaker:  # a newer block of this thread
            assert list(stream) == ["moved out"]
            clock.advance(1)

    thread = threading.Thread(target=resume)
    thread.start()
    thread.join()
    assert [event.duration for event in finished] == [5, 1]
    assert breaker.stats().in_flight == 0


async def test_blocks_of_tasks_that_leave_in_any_order_settle_each_its_own(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    finished = listen(breaker, CallFinished)
    gates = [asyncio.Event() for _ in range(3)]
    entered = asyncio.Semaphore(0)

    async def work(number: int) -> None:
        async with breaker:
            entered.release()
            await gates[number].wait()
            if number == 1:
                raise Boom("the second")

    tasks = []
    for number in range(3):
        tasks.append(asyncio.create_task(work(number)))
        await entered.acquire()
        clock.advance(1)
    for number in (1, 0, 2):
        gates[number].set()
        await asyncio.wait([tasks[number]])
    with pytest.raises(Boom):
        await tasks[1]
    assert [(event.outcome, event.duration) for event in finished] == [
        (Outcome.FAILURE, 2),
        (Outcome.SUCCESS, 3),
        (Outcome.SUCCESS, 1),
    ]


def test_block_of_an_older_generation_decides_nothing(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """For blocks."""
    with breaker:
        trip(breaker)
        clock.advance(10)
    assert breaker.state is State.OPEN


def test_leaving_what_was_never_entered_is_an_error(breaker: CircuitBreaker) -> None:
    with pytest.raises(RuntimeError, match="never entered"):
        breaker.__exit__(None, None, None)


def test_abandoned_generator_gives_its_slot_back(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    stream = guarded(breaker, "dropped")
    next(stream)
    del stream
    assert breaker.state is State.HALF_OPEN
    assert breaker.stats().in_flight == 0
    assert breaker.stats().calls["ignored"] == 1


def test_failed_block_counts_towards_the_row_of_failures(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    with pytest.raises(Boom), breaker:
        raise Boom("third")
    assert breaker.state is State.OPEN
