"""Thousands of calls of every kind leave nothing behind: no object, no reference, no memory."""

import asyncio
import contextlib
import gc
import sys
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from packages.recloser.tests.support import Boom, boom, ok, ok_async

from recloser import CircuitBreaker, CircuitOpenError, Settings

CALLS = 200


class Pause:
    def __await__(self) -> Generator[None, Any, Any]:
        return (yield)


async def paused() -> None:
    await Pause()


async def down_async() -> None:
    raise Boom("down")


def drive(call: Any) -> None:
    try:
        while True:
            call.send(None)
    except (StopIteration, Boom, CircuitOpenError):
        pass


def swallow(fn: Callable[[], Any]) -> None:
    with contextlib.suppress(Boom, CircuitOpenError):
        fn()


def start_and(end: Callable[[Any], Any]) -> Callable[[Callable[[], Any]], None]:
    def run(fn: Callable[[], Any]) -> None:
        call = fn()
        call.send(None)
        end(call)

    return run


def throw(call: Any) -> None:
    swallow(lambda: call.throw(Boom("thrown")))


def make_settings(**changes: Any) -> Settings:
    return Settings(failure_threshold=10**9).replace(**changes)


WAYS: dict[str, tuple[Settings, Callable[..., Any], Callable[[Any], Any]]] = {
    "success": (make_settings(), ok, swallow),
    "success, judged": (make_settings(failure_on_result=bool), ok, swallow),
    "success, slow": (make_settings(slow_call_duration=1e-12), ok, swallow),
    "failure": (make_settings(), boom, swallow),
    "awaitable result": (make_settings(), lambda: ok_async(), lambda fn: drive(fn())),
    "coroutine": (make_settings(), ok_async, lambda fn: drive(fn())),
    "coroutine in a loop": (make_settings(), ok_async, lambda fn: None),
    "coroutine that waits": (make_settings(), paused, lambda fn: drive(fn())),
    "coroutine, failing": (make_settings(), down_async, lambda fn: drive(fn())),
    "coroutine, closed": (make_settings(), paused, start_and(lambda call: call.close())),
    "coroutine, thrown into": (make_settings(), paused, start_and(throw)),
    "coroutine, dropped": (make_settings(), paused, start_and(lambda call: None)),
    "coroutine, closed before": (make_settings(), ok_async, lambda fn: fn().close()),
}


@pytest.mark.parametrize("path", ["hot", "with permits", "rejected"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_calls_leave_nothing(way: tuple[Settings, Any, Any], path: str) -> None:
    settings, fn, run = way
    breaker = CircuitBreaker("leak", settings)
    if path == "with permits":
        breaker.add_listener(lambda event: None)
    elif path == "rejected":
        breaker.force_open("test")
        run = drive_or_swallow
    protected = breaker(fn)

    def many() -> None:
        for _ in range(CALLS):
            run(protected)

    if fn is ok_async and path == "hot":
        asyncio.run(in_a_loop(protected))
    assert_no_growth(many)
    assert breaker.stats().in_flight == 0


async def in_a_loop(protected: Any) -> None:
    for _ in range(CALLS):
        await protected()


def drive_or_swallow(fn: Callable[[], Any]) -> None:
    with contextlib.suppress(AttributeError, CircuitOpenError):
        drive(fn())


def test_decorating_and_dropping_leaves_nothing() -> None:
    def many() -> None:
        for _ in range(CALLS // 4):
            breaker = CircuitBreaker("gone")
            protected = breaker(ok)
            protected()
            breaker.call(ok)

    # What remembers breakers for a fork drops the dead ones when their number has doubled.
    assert_no_growth(many, tolerance=30_000)


@pytest.fixture(autouse=True, scope="module")
def only_what_is_new() -> Iterator[None]:
    """Keep the collector off everything that was there before: each collection then takes no time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def assert_no_growth(many: Callable[[], None], tolerance: int = CALLS * 8) -> None:
    """Whether one of some further rounds leaves as much as the round before it.

    A leak is there in every round, and the smallest object is 16 bytes a call; threads of other tests, which allocate
    meanwhile, are not.
    """
    many()
    rounds = []
    for _ in range(3):
        rounds.append(growth(many))
        size, counts = rounds[-1]
        if size < tolerance and max(counts) < CALLS // 4:
            return
    pytest.fail(f"bytes, and (references, objects, references to None, blocks) more in each round: {rounds}")


def growth(many: Callable[[], None]) -> tuple[int, tuple[int, ...]]:
    """What a round leaves behind: bytes, and references, objects and blocks."""
    before = count()
    tracemalloc.start()
    try:
        many()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        many()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    return size, tuple(more - less for less, more in zip(before, count(), strict=True))


def count() -> tuple[int, ...]:
    gc.collect()
    references = getattr(sys, "gettotalrefcount", lambda: 0)()
    return references, len(gc.get_objects()), sys.getrefcount(None), sys.getallocatedblocks()
