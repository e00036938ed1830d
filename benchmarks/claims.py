"""What a circuit breaker does, found out by doing it: each claim is tried on each library, none is looked up.

A claim answers `yes`, `no`, a number, or a dash where the library does not offer what it is about.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.contention import half_open_tasks, half_open_threads
from benchmarks.measure import DependencyError
from benchmarks.peers.base import Candidate, new_name
from benchmarks.rules import Rules

RULES = Rules(slow_after=0.005)
SOON = replace(RULES, open_for=0.1, half_open_timeout=0.2)
"""An open circuit may be probed, and a half-open period be over, within the patience of a claim."""

PATIENCE = 1.5
"""Seconds within which calls must go on."""

ENOUGH = 100
"""Calls that fill every window, and failures after which every breaker has opened."""

_CALLERS = 20

NOT_OFFERED = "-"


@dataclass(frozen=True)
class Claim:
    """One row of the table: a sentence, and how to try it."""

    text: str
    holds: Callable[[Candidate], str]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _protected(candidate: Candidate, fn: Callable[..., Any], rules: Rules = RULES) -> Callable[..., Any]:
    asynchronous = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
    return candidate.protect(candidate.breaker(rules, new_name(), asynchronous=asynchronous), fn)


def _in_loop(claim: Callable[[Candidate], Awaitable[bool]]) -> Callable[[Candidate], str]:
    """A claim about coroutine functions, in a loop of its own."""

    async def bounded(candidate: Candidate) -> bool:
        return await asyncio.wait_for(claim(candidate), 10 * PATIENCE)

    return lambda candidate: _yes(asyncio.run(bounded(candidate))) if candidate.asynchronous else NOT_OFFERED


async def _answer(fail: bool = False) -> str:
    if fail:
        raise DependencyError
    return "fine"


def _rejects(candidate: Candidate, fn: Callable[[], Any]) -> bool:
    """Whether a call is rejected; that it fails is no rejection."""
    try:
        fn()
    except candidate.rejection:
        return True
    except DependencyError:
        pass
    return False


async def _rejects_async(candidate: Candidate, fn: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await fn()
    except candidate.rejection:
        return True
    except DependencyError:
        pass
    return False


def _opens(candidate: Candidate, fn: Callable[[], Any]) -> bool:
    return any(_rejects(candidate, fn) for _ in range(ENOUGH))


async def _opens_async(candidate: Candidate, fn: Callable[[], Awaitable[Any]]) -> bool:
    for _ in range(ENOUGH):
        if await _rejects_async(candidate, fn):
            return True
    return False


async def _goes_on(candidate: Candidate, fn: Callable[[], Awaitable[Any]]) -> bool:
    """Whether a call is let through before our patience is over."""

    async def until_let_through() -> None:
        while await _rejects_async(candidate, fn):  # noqa: ASYNC110 - no library tells when
            await asyncio.sleep(0.01)

    try:
        await asyncio.wait_for(until_let_through(), PATIENCE)
    except TimeoutError:  # rejected all the time, or made to wait
        return False
    return True


# What can be protected


async def _one_breaker(candidate: Candidate) -> bool:
    if not candidate.sync:
        return False
    breaker = candidate.breaker(RULES, new_name())

    def failing() -> None:
        raise DependencyError

    both = candidate.protect(breaker, failing), candidate.protect(breaker, _answer)
    return await _opens_async(candidate, lambda: both[1](True)) and _rejects(candidate, both[0])


async def _stays_coroutine_function(candidate: Candidate) -> bool:
    protected = _protected(candidate, _answer)
    return inspect.iscoroutinefunction(protected) and inspect.signature(protected) == inspect.signature(_answer)


def _generator(candidate: Candidate) -> str:
    if not candidate.sync:
        return NOT_OFFERED

    def stream() -> Iterator[int]:
        yield 1
        raise DependencyError

    protected = _protected(candidate, stream)
    return _yes(_opens(candidate, lambda: list(protected())))


async def _async_generator(candidate: Candidate) -> bool:
    async def stream() -> AsyncIterator[int]:
        yield 1
        raise DependencyError

    protected = _protected(candidate, stream)

    async def read() -> None:
        items = protected()
        if inspect.isawaitable(items):
            items = await items
        async for _ in items:
            pass

    try:
        return await _opens_async(candidate, read)
    except TypeError:  # it cannot be read at all any more
        return False


# When it opens


def _every_second_fails(candidate: Candidate) -> str:
    if candidate.sync:

        def call(fail: bool) -> None:
            if fail:
                raise DependencyError

        protected = _protected(candidate, call)
        return _yes(any(_rejects(candidate, lambda n=n: protected(n % 2 == 0)) for n in range(2 * ENOUGH)))  # type: ignore[misc]

    async def run() -> bool:
        protected = _protected(candidate, _answer)
        return any([await _rejects_async(candidate, lambda n=n: protected(n % 2 == 0)) for n in range(2 * ENOUGH)])  # type: ignore[misc]

    return _yes(asyncio.run(run()))


def _slow_calls(candidate: Candidate) -> str:
    if candidate.sync:
        protected = _protected(candidate, lambda: time.sleep(2 * RULES.slow_after))
        return _yes(_opens(candidate, protected))

    async def slow() -> None:
        await asyncio.sleep(2 * RULES.slow_after)

    return _yes(asyncio.run(_opens_async(candidate, _protected(candidate, slow))))


async def _cancelled_calls(candidate: Candidate) -> bool:
    waiting = asyncio.Event()

    async def call(wait: bool) -> None:
        if wait:
            await waiting.wait()

    protected = _protected(candidate, call)
    for _ in range(ENOUGH):
        task = asyncio.ensure_future(protected(True))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except (asyncio.CancelledError, candidate.rejection):
            pass
    return not await _rejects_async(candidate, lambda: protected(False))


async def _late_success(candidate: Candidate) -> bool:
    finish = asyncio.Event()

    async def call(kind: str) -> None:
        if kind == "late":
            await finish.wait()
        elif kind == "fail":
            raise DependencyError

    protected = _protected(candidate, call)
    late = asyncio.ensure_future(protected("late"))
    await asyncio.sleep(0)
    if not await _opens_async(candidate, lambda: protected("fail")):
        return False
    finish.set()
    await late
    return await _rejects_async(candidate, lambda: protected("fine"))


# How it recovers


def _at_once(candidate: Candidate) -> str:
    def once() -> float:
        if candidate.asynchronous:
            return half_open_tasks(candidate, _CALLERS, asyncio.run)["early"]
        return half_open_threads(candidate, _CALLERS)["early"]

    return str(int(max(once() for _ in range(5))))


async def _after_probe(candidate: Candidate, *, cancel: bool) -> bool:
    never = asyncio.Event()

    async def call(kind: str) -> None:
        if kind == "hang":
            await never.wait()
        elif kind == "fail":
            raise DependencyError

    protected = _protected(candidate, call, SOON)
    await _opens_async(candidate, lambda: protected("fail"))
    deadline = time.monotonic() + 5 * PATIENCE  # fluxgate lets a random tenth through
    while True:
        await asyncio.sleep(0.02)
        probe = asyncio.ensure_future(protected("hang"))
        await asyncio.sleep(0.01)
        if not probe.done():
            break
        assert isinstance(probe.exception(), candidate.rejection)
        assert time.monotonic() < deadline, "no probe is let through"
    try:
        if cancel:
            probe.cancel()
            await asyncio.wait([probe])
        return await _goes_on(candidate, lambda: protected("fine"))
    finally:
        probe.cancel()
        await asyncio.wait([probe])


async def _hung_probe(candidate: Candidate) -> bool:
    return await _after_probe(candidate, cancel=False)


async def _cancelled_probe(candidate: Candidate) -> bool:
    return await _after_probe(candidate, cancel=True)


# What callers see


def _threads_overlap(candidate: Candidate) -> str:
    if not candidate.sync:
        return NOT_OFFERED
    together = threading.Barrier(4)

    def meet() -> None:
        together.wait(PATIENCE)

    protected = _protected(candidate, meet)
    met = []

    def caller() -> None:
        try:
            protected()
        except (threading.BrokenBarrierError, candidate.rejection):
            return
        met.append(True)

    crowd = [threading.Thread(target=caller) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return _yes(len(met) == 4)


def _rejections_differ(candidate: Candidate) -> str:
    async def run() -> list[BaseException]:
        protected = _protected(candidate, _answer)
        await _opens_async(candidate, lambda: protected(True))
        return [await _rejection(protected) for _ in range(2)]

    async def _rejection(protected: Callable[..., Awaitable[Any]]) -> BaseException:
        try:
            await protected()
        except candidate.rejection as exc:
            return exc
        raise AssertionError("it is not open")

    if candidate.asynchronous:
        first, second = asyncio.run(run())
        return _yes(first is not second)

    def failing() -> None:
        raise DependencyError

    protected = _protected(candidate, failing)
    _opens(candidate, protected)
    raised = []
    for _ in range(2):
        try:
            protected()
        except candidate.rejection as exc:
            raised.append(exc)
    return _yes(raised[0] is not raised[1])


CLAIMS = (
    Claim("Protects plain functions", lambda candidate: _yes(candidate.sync)),
    Claim("Protects coroutine functions", lambda candidate: _yes(candidate.asynchronous)),
    Claim("One breaker for both kinds", _in_loop(_one_breaker)),
    Claim("A decorated coroutine function still is one, with its signature", _in_loop(_stays_coroutine_function)),
    Claim("An error while a generator is read counts", _generator),
    Claim("An error while an async generator is read counts", _in_loop(_async_generator)),
    Claim("Opens when every second call fails", _every_second_fails),
    Claim("Opens when calls are slow", _slow_calls),
    Claim("Cancelled calls do not open it", _in_loop(_cancelled_calls)),
    Claim("The late success of an older call does not close it", _in_loop(_late_success)),
    Claim(f"Of {_CALLERS} callers at once, those that reach a dependency which has not answered a probe yet", _at_once),
    Claim("Calls go on after a probe that was cancelled", _in_loop(_cancelled_probe)),
    Claim("Calls go on while a probe hangs for ever", _in_loop(_hung_probe)),
    Claim("Calls of several threads run side by side", _threads_overlap),
    Claim("Each rejection is an exception of its own", _rejections_differ),
)
