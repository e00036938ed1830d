"""A decorated async generator is one call: its outcome is known when it ends, and its latency at its first item."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest
from packages.recloser.tests.support import (
    Boom,
    close_what_was_dropped,
    is_rejected,
    listen,
    reach_probing,
    settings,
    trip,
)

from recloser import CallFinished, CircuitBreaker, Outcome, State
from recloser.testing import FakeClock


async def numbers() -> AsyncGenerator[int, None]:
    for number in range(3):
        yield number


async def breaks() -> AsyncGenerator[int, None]:
    yield 1
    yield 2
    raise Boom("in the middle")


async def test_items_pass_through(breaker: CircuitBreaker) -> None:
    assert [item async for item in breaker(numbers)()] == [0, 1, 2]


async def test_permit_is_held_until_the_end(breaker: CircuitBreaker) -> None:
    stream = breaker(numbers)()
    assert breaker.stats().in_flight == 0
    await anext(stream)
    assert breaker.stats().in_flight == 1
    assert [item async for item in stream] == [1, 2]
    assert breaker.stats().in_flight == 0
    assert breaker.stats().successful == 1


async def test_error_in_the_middle_is_a_failure(breaker: CircuitBreaker) -> None:
    """Abort after two items."""
    stream = breaker(breaks)()
    assert [await anext(stream), await anext(stream)] == [1, 2]
    with pytest.raises(Boom, match="in the middle"):
        await anext(stream)
    assert breaker.stats().failed == 1
    assert breaker.last_failure == "Boom: in the middle"


async def test_error_before_the_first_item_is_a_failure(breaker: CircuitBreaker) -> None:
    @breaker
    async def refuses() -> AsyncIterator[int]:
        raise Boom("529")
        yield 1

    with pytest.raises(Boom):
        await anext(refuses())
    assert breaker.stats().failed == 1


async def test_early_close_is_ignored(breaker: CircuitBreaker) -> None:
    """The consumer had enough."""
    async with aclosing(breaker(numbers)()) as stream:
        await anext(stream)
    assert breaker.stats().calls["ignored"] == 1
    assert breaker.stats().in_flight == 0


async def test_break_out_of_the_loop_is_ignored(breaker: CircuitBreaker) -> None:
    async for _ in breaker(numbers)():
        break
    await close_what_was_dropped()
    assert breaker.stats().calls["ignored"] == 1


async def test_early_close_reaches_the_generator(breaker: CircuitBreaker) -> None:
    closed: list[bool] = []

    @breaker
    async def cleans_up() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    stream = cleans_up()
    await anext(stream)
    await stream.aclose()
    assert closed == [True]


async def test_stream_that_was_never_started_is_no_call(breaker: CircuitBreaker) -> None:
    stream = breaker(numbers)()
    del stream
    gc.collect()
    assert breaker.stats().in_flight == 0
    assert sum(breaker.stats().calls.values()) == 0


async def test_latency_is_the_time_to_the_first_item(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """A stream that goes on for an hour is not slow."""
    breaker.reconfigure(settings(slow_call_duration=1.0))
    finished = listen(breaker, CallFinished)

    @breaker
    async def prompt() -> AsyncIterator[int]:
        clock.advance(0.5)
        yield 1
        clock.advance(3_600)
        yield 2

    assert [item async for item in prompt()] == [1, 2]
    assert [(event.outcome, event.duration) for event in finished] == [(Outcome.SUCCESS, 0.5)]


async def test_late_first_item_is_slow(breaker: CircuitBreaker, clock: FakeClock) -> None:
    breaker.reconfigure(settings(slow_call_duration=1.0))

    @breaker
    async def late() -> AsyncIterator[int]:
        clock.advance(1)
        yield 1

    assert [item async for item in late()] == [1]
    assert breaker.stats().calls["slow"] == 1


async def test_stream_without_items_is_a_success_that_took_its_whole_time(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    finished = listen(breaker, CallFinished)

    @breaker
    async def empty() -> AsyncIterator[int]:
        clock.advance(2)
        return
        yield 1

    assert [item async for item in empty()] == []
    assert [(event.outcome, event.duration) for event in finished] == [(Outcome.SUCCESS, 2)]


async def test_values_and_errors_can_be_sent_in(breaker: CircuitBreaker) -> None:
    @breaker
    async def converse() -> AsyncGenerator[str, str]:
        first = yield "hello"
        try:
            yield first.upper()
        except Boom as exc:
            yield f"caught {exc}"

    stream = converse()
    assert await anext(stream) == "hello"
    assert await stream.asend("there") == "THERE"
    assert await stream.athrow(Boom("this")) == "caught this"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert breaker.stats().successful == 1


async def test_stream_that_outlives_its_generation_decides_nothing(breaker: CircuitBreaker) -> None:
    stream = breaker(numbers)()
    await anext(stream)
    trip(breaker)
    assert [item async for item in stream] == [1, 2]
    assert breaker.state is State.OPEN


async def test_probe_slot_is_held_while_it_streams(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    stream = breaker(numbers)()
    await anext(stream)
    assert is_rejected(breaker)
    assert [item async for item in stream] == [1, 2]
    assert breaker.state is State.CLOSED


async def test_dropped_probe_stream_gives_its_slot_back(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    stream = breaker(numbers)()
    await anext(stream)
    del stream
    await close_what_was_dropped()
    assert breaker.state is State.HALF_OPEN
    assert not is_rejected(breaker)
