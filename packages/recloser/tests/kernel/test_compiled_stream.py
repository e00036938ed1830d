"""What protected generator functions return passes for generators, and that of async ones for async generators."""

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import sys
import traceback
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import pytest
import trio
from packages.recloser.tests.kernel.twins import needs_compiled
from packages.recloser.tests.support import Boom, close_what_was_dropped, ok, trip

from recloser import CircuitBreaker, CircuitOpenError


def items(a: int = 3) -> Generator[int, Any, str]:
    yield from range(a)
    return "end"


async def items_async(a: int = 3) -> AsyncGenerator[int, Any]:
    for number in range(a):
        await asyncio.sleep(0)
        yield number


def breaks() -> Iterator[int]:
    yield 1
    raise Boom("in the middle")


async def breaks_async() -> AsyncIterator[int]:
    yield 1
    raise Boom("in the middle")


def test_passes_for_a_generator(breaker: CircuitBreaker) -> None:
    stream: Any = breaker(items)()
    assert inspect.isgeneratorfunction(breaker(items))
    assert inspect.isgenerator(stream)
    assert isinstance(stream, types.GeneratorType)
    assert isinstance(stream, collections.abc.Generator)
    assert stream.__name__ == "items"
    assert repr(stream).startswith("<generator object items at")
    assert weakref.ref(stream)() is stream


def test_passes_for_an_async_generator(breaker: CircuitBreaker) -> None:
    stream: Any = breaker(items_async)()
    assert inspect.isasyncgenfunction(breaker(items_async))
    assert inspect.isasyncgen(stream)
    assert isinstance(stream, types.AsyncGeneratorType)
    assert isinstance(stream, collections.abc.AsyncGenerator)
    assert stream.__name__ == "items_async"
    assert repr(stream).startswith("<async_generator object items_async at")
    assert weakref.ref(stream)() is stream


@needs_compiled
def test_shows_the_code_and_the_frame_of_the_function(breaker: CircuitBreaker) -> None:
    stream: Any = breaker(items)()
    assert stream.gi_code is items.__code__
    assert stream.gi_frame.f_code is items.__code__
    stream = breaker(items_async)()
    assert stream.ag_code is items_async.__code__
    assert stream.ag_frame.f_code is items_async.__code__


def test_state_can_be_told(breaker: CircuitBreaker) -> None:
    stream = breaker(items)(1)
    assert inspect.getgeneratorstate(stream) == inspect.GEN_CREATED
    next(stream)
    assert inspect.getgeneratorstate(stream) == inspect.GEN_SUSPENDED
    assert list(stream) == []
    assert inspect.getgeneratorstate(stream) == inspect.GEN_CLOSED


@pytest.mark.skipif(sys.version_info < (3, 12), reason="inspect.getasyncgenstate is of 3.12")
async def test_state_of_an_async_one_can_be_told(breaker: CircuitBreaker) -> None:
    stream = breaker(items_async)(1)
    assert inspect.getasyncgenstate(stream) == inspect.AGEN_CREATED
    await anext(stream)
    assert inspect.getasyncgenstate(stream) == inspect.AGEN_SUSPENDED
    assert [item async for item in stream] == []
    assert inspect.getasyncgenstate(stream) == inspect.AGEN_CLOSED


def test_after_its_end_it_is_exhausted(breaker: CircuitBreaker) -> None:
    stream = breaker(items)(1)
    assert list(stream) == [0]
    assert next(stream, "none") == "none"
    with pytest.raises(Boom):
        stream.throw(Boom("late"))
    stream.close()
    assert breaker.stats().successful == 1


async def test_after_its_end_an_async_one_is_exhausted(breaker: CircuitBreaker) -> None:
    stream = breaker(items_async)(1)
    assert [item async for item in stream] == [0]
    assert await anext(stream, "none") == "none"
    await stream.aclose()
    assert breaker.stats().successful == 1


def test_rejected_stream_never_runs(breaker: CircuitBreaker) -> None:
    stream = breaker(items)()
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        next(stream)
    assert next(stream, "none") == "none"
    assert breaker.stats().in_flight == 0


async def test_rejected_async_stream_never_runs(breaker: CircuitBreaker) -> None:
    stream = breaker(items_async)()
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        await anext(stream)
    assert await anext(stream, "none") == "none"
    assert breaker.stats().in_flight == 0


def test_it_cannot_drive_itself(breaker: CircuitBreaker) -> None:
    seen: list[BaseException] = []

    @breaker
    def selfish() -> Iterator[int]:
        try:
            next(stream)
        except ValueError as exc:
            seen.append(exc)
        yield 1

    stream = selfish()
    assert list(stream) == [1]
    assert str(seen[0]) == "generator already executing"
    assert breaker.stats().successful == 1


async def test_two_cannot_drive_an_async_one_at_once(breaker: CircuitBreaker) -> None:
    stream = breaker(items_async)()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already running"):
        await anext(stream)
    assert await first == 0
    assert [item async for item in stream] == [1, 2]
    assert breaker.stats().successful == 1
    assert breaker.stats().failed == 0


def test_context_manager_made_of_one_works(breaker: CircuitBreaker) -> None:
    @contextlib.contextmanager
    @breaker
    def manager() -> Iterator[str]:
        with contextlib.suppress(KeyError):
            yield "value"

    with manager() as value:
        assert value == "value"
    with manager():
        raise KeyError("swallowed")
    with pytest.raises(Boom), manager():
        raise Boom("passed on")
    assert breaker.stats().successful == 2
    assert breaker.stats().failed == 1


async def test_async_context_manager_made_of_one_works(breaker: CircuitBreaker) -> None:
    @contextlib.asynccontextmanager
    @breaker
    async def manager() -> AsyncIterator[str]:
        try:
            yield "value"
        except KeyError:
            await asyncio.sleep(0)

    async with manager() as value:
        assert value == "value"
    async with manager():
        raise KeyError("swallowed")
    with pytest.raises(Boom):
        async with manager():
            raise Boom("passed on")
    assert breaker.stats().successful == 2
    assert breaker.stats().failed == 1


def test_traceback_shows_the_generator(breaker: CircuitBreaker) -> None:
    with pytest.raises(Boom) as caught:
        list(breaker(breaks)())
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "breaks"
    assert caught.value.__context__ is None


async def test_traceback_shows_the_async_generator(breaker: CircuitBreaker) -> None:
    with pytest.raises(Boom) as caught:
        async for _ in breaker(breaks_async)():
            pass
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "breaks_async"
    assert caught.value.__context__ is None


def test_loop_that_ends_closes_what_is_suspended(breaker: CircuitBreaker) -> None:
    ended: list[str] = []

    @breaker
    async def cleans_up() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    kept = []

    async def main() -> None:
        kept.append(cleans_up())
        await anext(kept[0])

    asyncio.run(main())
    assert ended == ["cleaned up"]
    assert breaker.stats().calls["ignored"] == 1
    assert breaker.stats().in_flight == 0


def test_loop_of_trio_closes_what_is_suspended(breaker: CircuitBreaker) -> None:
    ended: list[str] = []

    @breaker
    async def cleans_up() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("cleaned up")

    kept = []

    async def main() -> None:
        kept.append(cleans_up())
        await anext(kept[0])

    trio.run(main)
    assert ended == ["cleaned up"]
    assert breaker.stats().calls["ignored"] == 1


async def test_loop_closes_what_was_dropped(breaker: CircuitBreaker) -> None:
    ended: list[str] = []

    @breaker
    async def cleans_up() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    stream = cleans_up()
    await anext(stream)
    del stream
    await close_what_was_dropped()
    assert ended == ["cleaned up"]
    assert breaker.stats().calls["ignored"] == 1


def test_hooks_are_told_of_the_one_outside_only(breaker: CircuitBreaker) -> None:
    first: list[Any] = []
    dropped: list[str] = []
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(first.append, lambda stream: dropped.append(stream.__name__))
    try:
        stream: Any = breaker(breaks_async)()
        with contextlib.suppress(StopIteration):
            stream.__anext__().send(None)
        assert first == [stream]
        first.clear()
        del stream
        gc.collect()
    finally:
        sys.set_asyncgen_hooks(*before)
    assert dropped == ["breaks_async"]
    assert breaker.stats().in_flight == 0


async def test_task_that_is_cancelled_in_a_step_ends_the_call(breaker: CircuitBreaker) -> None:
    @breaker
    async def hangs() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    task = asyncio.ensure_future(anext(hangs()))
    await asyncio.sleep(0)
    assert breaker.stats().in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert breaker.stats().in_flight == 0
    assert breaker.stats().calls["ignored"] == 1


@pytest.mark.parametrize("listened", [False, True])
def test_call_that_is_dropped_in_a_cycle_decides_nothing(breaker: CircuitBreaker, listened: bool) -> None:
    if listened:
        breaker.add_listener(lambda event: None)
    stream: Any = breaker(items)()
    next(stream)
    cycle = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()
    calls = breaker.stats().calls
    assert calls["ignored"] + calls["released"] == 1  # the collector may come to the permit first
    assert breaker.stats().window_calls == 0
    assert breaker.call(ok) == "fine"


def test_generator_that_will_not_close_is_a_failure(breaker: CircuitBreaker) -> None:
    @breaker
    def stubborn() -> Iterator[int]:
        with contextlib.suppress(GeneratorExit):
            yield 1
        yield 2

    stream: Any = stubborn()
    next(stream)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        stream.close()
    assert breaker.stats().failed == 1
    assert breaker.stats().in_flight == 0


async def test_stacked_breakers_each_see_the_call(breaker: CircuitBreaker) -> None:
    other = CircuitBreaker("other")
    assert list(breaker(other(items))()) == [0, 1, 2]
    assert [item async for item in breaker(other(items_async))()] == [0, 1, 2]
    assert breaker.stats().successful == other.stats().successful == 2
