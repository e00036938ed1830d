"""What a protected coroutine function returns passes for a coroutine, and settles its call exactly once."""

import asyncio
import collections.abc
import gc
import inspect
import sys
import traceback
import types
import warnings
import weakref
from collections.abc import Generator
from typing import Any

import pytest
import trio
from packages.recloser.tests.kernel.twins import needs_compiled
from packages.recloser.tests.support import Boom, boom_async, ok_async, trip

from recloser import CircuitBreaker, CircuitOpenError


@types.coroutine
def pause() -> Generator[str, Any, Any]:
    return (yield "paused")


async def work(a: int = 1) -> int:
    await pause()
    return a


def test_passes_for_a_coroutine(breaker: CircuitBreaker) -> None:
    call: Any = breaker(work)()
    assert asyncio.iscoroutine(call)
    assert inspect.iscoroutine(call)
    assert inspect.isawaitable(call)
    assert isinstance(call, collections.abc.Coroutine)
    assert not isinstance(call, collections.abc.Iterable)
    assert call.__name__ == "work"
    assert "work" in repr(call)
    call.close()


def test_state_can_be_told(breaker: CircuitBreaker) -> None:
    call = breaker(work)()
    assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
    assert call.send(None) == "paused"
    assert inspect.getcoroutinestate(call) == inspect.CORO_SUSPENDED
    assert call.cr_frame is not None
    assert call.cr_await is not None
    assert not call.cr_running
    with pytest.raises(StopIteration) as stop:
        call.send(None)
    assert stop.value.value == 1
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
    assert breaker.stats().successful == 1


async def test_every_way_of_asyncio_to_run_it(breaker: CircuitBreaker) -> None:
    protected = breaker(ok_async)
    assert await protected() == "fine"
    assert await asyncio.create_task(protected()) == "fine"
    assert await asyncio.wait_for(protected(), 60) == "fine"
    assert await asyncio.gather(protected(), protected()) == ["fine", "fine"]
    assert await asyncio.shield(protected()) == "fine"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(protected())
    assert task.result() == "fine"
    done, _ = await asyncio.wait([asyncio.ensure_future(protected())])
    assert done.pop().result() == "fine"
    loop = asyncio.get_running_loop()
    future = asyncio.run_coroutine_threadsafe(protected(), loop)
    assert await asyncio.wrap_future(future) == "fine"
    stats = breaker.stats()
    assert (stats.successful, stats.in_flight) == (9, 0)


def test_runs_in_asyncio_run_and_in_trio(breaker: CircuitBreaker) -> None:
    protected = breaker(ok_async)
    assert asyncio.run(protected()) == "fine"  # type: ignore[arg-type]
    assert trio.run(protected) == "fine"
    assert breaker.stats().successful == 2


@pytest.mark.parametrize("result", [None, (), (1, 2), ValueError("a value"), StopIteration(3), {}])
async def test_any_result_arrives(breaker: CircuitBreaker, result: Any) -> None:
    async def give() -> Any:
        return result

    protected = breaker(give)
    assert await protected() is result
    assert await asyncio.create_task(protected()) is result
    with pytest.raises(StopIteration) as stop:
        protected().send(None)
    assert stop.value.value is result


async def test_result_is_not_kept(breaker: CircuitBreaker) -> None:
    class Big:
        pass

    async def give() -> Big:
        return Big()

    reference = weakref.ref(await breaker(give)())
    gc.collect()
    assert reference() is None


async def test_error_arrives_with_its_traceback(breaker: CircuitBreaker) -> None:
    with pytest.raises(Boom) as caught:
        await breaker(boom_async)()
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-1] == "boom_async"
    assert caught.value.__context__ is None
    assert breaker.stats().failed == 1


@needs_compiled
async def test_wrong_arguments_raise_at_the_call_and_count_nothing(breaker: CircuitBreaker) -> None:
    """As they do for the plain function."""
    protected: Any = breaker(work)
    with pytest.raises(TypeError, match="unexpected keyword"):
        protected(nonsense=1)
    stats = breaker.stats()
    assert (stats.failed, stats.in_flight) == (0, 0)


def test_values_are_sent_through(breaker: CircuitBreaker) -> None:
    async def echo() -> Any:
        return await pause(), await pause()

    call = breaker(echo)()
    call.send(None)
    assert call.send("first") == "paused"
    with pytest.raises(StopIteration) as stop:
        call.send("second")
    assert stop.value.value == ("first", "second")


def test_exception_that_is_thrown_in_can_be_handled(breaker: CircuitBreaker) -> None:
    async def handle() -> str:
        try:
            await pause()
        except Boom:
            return await pause()  # type: ignore[no-any-return]
        raise AssertionError

    call = breaker(handle)()
    call.send(None)
    assert call.throw(Boom("thrown")) == "paused"
    with pytest.raises(StopIteration) as stop:
        call.send("handled")
    assert stop.value.value == "handled"
    assert breaker.stats().successful == 1


def test_exception_that_is_thrown_in_and_ends_it_returns(breaker: CircuitBreaker) -> None:
    async def handle() -> str:
        try:
            await pause()
        except Boom:
            return "handled"
        raise AssertionError

    call = breaker(handle)()
    call.send(None)
    with pytest.raises(StopIteration) as stop:
        call.throw(Boom("thrown"))
    assert stop.value.value == "handled"
    assert breaker.stats().successful == 1


def test_misuse_is_refused_as_by_a_coroutine(breaker: CircuitBreaker) -> None:
    call = breaker(work)()
    with pytest.raises(TypeError, match="just-started"):
        call.send("too early")
    assert breaker.stats().in_flight == 0
    call.send(None)
    with pytest.raises(StopIteration):
        call.send(None)
    with pytest.raises(RuntimeError, match="already awaited"):
        call.send(None)
    with pytest.raises(RuntimeError, match="already awaited"):
        call.throw(Boom)
    call.close()
    stats = breaker.stats()
    assert (stats.successful, stats.in_flight) == (1, 0)


def test_two_cannot_await_it_at_once(breaker: CircuitBreaker) -> None:
    async def wait(call: Any) -> None:
        await call

    call = breaker(work)()
    first, second = wait(call), wait(call)
    first.send(None)
    with pytest.raises(RuntimeError, match="being awaited already"):
        second.send(None)
    with pytest.raises(StopIteration):
        first.send(None)
    assert breaker.stats().successful == 1


def test_it_cannot_drive_itself(breaker: CircuitBreaker) -> None:
    async def drive() -> None:
        with pytest.raises(ValueError, match="already executing"):
            call.send(None)
        with pytest.raises(ValueError, match="already executing"):
            call.close()

    call = breaker(drive)()
    with pytest.raises(StopIteration):
        call.send(None)
    assert breaker.stats().successful == 1


def test_close_ignores_the_call(breaker: CircuitBreaker) -> None:
    call = breaker(work)()
    call.send(None)
    call.close()
    call.close()
    stats = breaker.stats()
    assert (stats.calls["ignored"], stats.in_flight) == (1, 0)


def test_close_that_raises_is_a_failure(breaker: CircuitBreaker) -> None:
    async def fails_in_cleanup() -> None:
        try:
            await pause()
        finally:
            raise Boom("cleanup")

    call = breaker(fails_in_cleanup)()
    call.send(None)
    with pytest.raises(Boom, match="cleanup"):
        call.close()
    stats = breaker.stats()
    assert (stats.failed, stats.in_flight) == (1, 0)


@pytest.mark.parametrize("listened", [False, True], ids=["hot", "with a permit"])
def test_call_that_is_dropped_in_the_middle_is_ignored(breaker: CircuitBreaker, listened: bool) -> None:
    if listened:
        breaker.add_listener(lambda event: None)
    call = breaker(work)()
    call.send(None)
    assert breaker.stats().in_flight == 1
    del call
    gc.collect()
    stats = breaker.stats()
    assert (stats.calls["ignored"], stats.in_flight) == (1, 0)


def test_call_that_is_dropped_in_a_cycle_is_ignored(breaker: CircuitBreaker) -> None:
    async def hold(box: list[Any]) -> None:
        await pause()

    box: list[Any] = []
    box.append(breaker(hold)(box))
    box[0].send(None)
    del box
    gc.collect()
    stats = breaker.stats()
    assert (stats.calls["ignored"], stats.in_flight) == (1, 0)


@needs_compiled
def test_call_that_is_dropped_inside_the_locked_section_does_not_wait_for_the_lock(breaker: CircuitBreaker) -> None:
    call = breaker(work)()
    call.send(None)
    with breaker._controller.lock:
        del call
        gc.collect()
    stats = breaker.stats()
    assert (stats.calls["ignored"], stats.in_flight) == (1, 0)


def test_call_that_is_never_awaited_is_reported_once(breaker: CircuitBreaker) -> None:
    protected = breaker(work)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        protected()
        gc.collect()
    assert ["never awaited" in str(warning.message) for warning in seen] == [True]
    assert breaker.stats().in_flight == 0


def test_rejected_call_is_not_reported_as_never_awaited(breaker: CircuitBreaker) -> None:
    protected = breaker(work)
    trip(breaker)
    call = protected()
    with pytest.raises(CircuitOpenError):
        call.send(None)
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
    del call
    gc.collect()


def test_throw_before_the_start_admits_nothing(breaker: CircuitBreaker) -> None:
    call = breaker(work)()
    with pytest.raises(Boom):
        call.throw(Boom("early"))
    stats = breaker.stats()
    assert (stats.failed, stats.calls["ignored"], stats.in_flight) == (0, 0, 0)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="inspect.markcoroutinefunction is of 3.12")
async def test_what_only_says_it_is_a_coroutine_function_is_called_when_it_is_awaited(breaker: CircuitBreaker) -> None:
    """Calling it may do things, so that it must be admitted first."""
    called: list[int] = []

    @breaker
    @inspect.markcoroutinefunction  # type: ignore[attr-defined, unused-ignore]
    def marked() -> Any:
        called.append(1)
        return ok_async()

    call = marked()
    assert called == []
    assert await call == "fine"
    assert called == [1]
    assert breaker.stats().successful == 1


async def test_stacked_breakers_each_see_the_call(breaker: CircuitBreaker) -> None:
    outer = CircuitBreaker("outer")
    protected = outer(breaker(boom_async))
    with pytest.raises(Boom):
        await protected()
    assert outer.stats().failed == breaker.stats().failed == 1


async def test_many_at_once_are_all_counted(breaker: CircuitBreaker) -> None:
    async def nap() -> None:
        await asyncio.sleep(0)

    protected = breaker(nap)
    await asyncio.gather(*(protected() for _ in range(1_000)))
    stats = breaker.stats()
    assert (stats.successful, stats.in_flight) == (1_000, 0)


@needs_compiled
async def test_stack_of_a_task_shows_the_function(breaker: CircuitBreaker) -> None:
    started = asyncio.Event()

    async def stuck() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(breaker(stuck)())  # type: ignore[arg-type]
    await started.wait()
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["stuck"]
    assert "stuck" in repr(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert breaker.stats().calls["ignored"] == 1
