"""What is measured. A scenario prepares a candidate once and is then asked for one sample in each round."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import measure
from benchmarks.contention import half_open_tasks, half_open_threads
from benchmarks.measure import DependencyError, calibrated
from benchmarks.peers.base import Candidate, new_name
from benchmarks.peers.floor import BareCall, EmptyWrapper
from benchmarks.rules import LONG, Rules, Scale

Sample = dict[str, float]
Sampler = Callable[[], Sample]


class UnsupportedError(Exception):
    """The candidate has no such thing; the text says why."""


@dataclass(frozen=True)
class Scenario:
    """One question, asked of each candidate."""

    name: str
    title: str
    prepare: Callable[[Candidate, Scale, measure.Run], Sampler]
    floor: str | None = None
    """The candidate that the others are compared with, in the same round and process."""
    throughput: bool = False
    """Whether the ratio to the floor is one of throughput: 1 is best, and less is worse."""
    few: bool = False
    """Whether one sample takes long by nature, so that there are fewer rounds."""


def work(value: int) -> int:
    return value


async def work_async(value: int) -> int:
    return value


def items(number: int) -> Iterator[int]:
    yield from range(number)


async def items_async(number: int) -> AsyncIterator[int]:
    for item in range(number):
        yield item


def work_or_fail(fail: bool) -> bool:
    if fail:
        raise DependencyError
    return fail


async def work_or_fail_async(fail: bool) -> bool:
    if fail:
        raise DependencyError
    return fail


def need_sync(candidate: Candidate) -> None:
    if not candidate.sync:
        raise UnsupportedError("async only")


def need_async(candidate: Candidate) -> None:
    if not candidate.asynchronous:
        raise UnsupportedError("no asyncio")


def need_threads(candidate: Candidate) -> None:
    need_sync(candidate)
    if candidate.features.threads == "no":
        raise UnsupportedError("not for threads, say its authors")


def protect(candidate: Candidate, rules: Rules, fn: Callable[..., Any]) -> Callable[..., Any]:
    asynchronous = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
    return candidate.protect(candidate.breaker(rules, new_name(), asynchronous=asynchronous), fn)


def seconds(timing: Callable[[], float]) -> Sampler:
    return lambda: {"seconds": timing()}


# Single calls


def closed(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    need_sync(candidate)
    return seconds(calibrated(measure.calls(protect(candidate, Rules(), work)), scale.budget))


def closed_async(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    need_async(candidate)
    return seconds(calibrated(measure.async_calls(protect(candidate, Rules(), work_async), run), scale.budget))


def failing(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    need_sync(candidate)
    return seconds(calibrated(measure.failing_calls(protect(candidate, Rules(), work_or_fail)), scale.budget))


def failing_async(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    need_async(candidate)
    fn = protect(candidate, Rules(), work_or_fail_async)
    return seconds(calibrated(measure.async_failing_calls(fn, run), scale.budget))


def rejected(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    need_sync(candidate)
    fn = rejecting(candidate, asynchronous=False)
    if fn is None:
        fn = protect(candidate, Rules(), work_or_fail)
        trip(fn, candidate.rejection)
    return seconds(calibrated(measure.rejected_calls(fn, candidate.rejection), scale.budget))


def rejected_async(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    need_async(candidate)
    fn = rejecting(candidate, asynchronous=True)
    if fn is None:
        fn = protect(candidate, Rules(), work_or_fail_async)
        run(trip_async(fn, candidate.rejection))
    return seconds(calibrated(measure.async_rejected_calls(fn, candidate.rejection, run), scale.budget))


def rejecting(candidate: Candidate, *, asynchronous: bool) -> Callable[..., Any] | None:
    """For the floor: a wrapper that raises. None for a breaker."""
    if isinstance(candidate, EmptyWrapper):
        return candidate.rejecting(asynchronous=asynchronous)
    if isinstance(candidate, BareCall):
        raise UnsupportedError("rejects nothing")
    return None


ENOUGH = 1_000
"""Failures after which every breaker has opened."""


def trip(fn: Callable[..., Any], rejection: type[BaseException]) -> None:
    """Let the dependency fail until the circuit rejects."""
    for _ in range(ENOUGH):
        try:
            fn(True)
        except rejection:
            return
        except DependencyError:
            pass
    raise measure.NotRejectedError


async def trip_async(fn: Callable[..., Awaitable[Any]], rejection: type[BaseException]) -> float:
    for _ in range(ENOUGH):
        try:
            await fn(True)
        except rejection:
            return 0.0
        except DependencyError:
            pass
    raise measure.NotRejectedError


# Generators

_MADE_ONLY = "protects the making of a generator, and not the reading"


def generator_of(number: int) -> Callable[[Candidate, Scale, measure.Run], Sampler]:
    def prepare(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
        need_sync(candidate)
        if not candidate.generators:
            raise UnsupportedError(_MADE_ONLY)
        return seconds(calibrated(measure.reads(protect(candidate, Rules(), items), number), scale.budget))

    return prepare


def async_generator_of(number: int) -> Callable[[Candidate, Scale, measure.Run], Sampler]:
    def prepare(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
        need_async(candidate)
        if not candidate.async_generators:
            raise UnsupportedError(_MADE_ONLY)
        return seconds(
            calibrated(measure.async_reads(protect(candidate, Rules(), items_async), number, run), scale.budget)
        )

    return prepare


# Many callers


def threads(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    """Seconds per call of all threads together, each call waiting 1 ms for its dependency."""
    need_threads(candidate)

    def wait(value: int) -> int:
        time.sleep(0.001)
        return value

    fn = protect(candidate, Rules(), wait)

    def sample() -> Sample:
        start = threading.Barrier(scale.threads + 1)

        def caller() -> None:
            start.wait()
            for _ in range(scale.io_calls):
                fn(1)

        callers = [threading.Thread(target=caller) for _ in range(scale.threads)]
        for thread in callers:
            thread.start()
        start.wait()
        started = time.perf_counter()
        for thread in callers:
            thread.join()
        return {"seconds": (time.perf_counter() - started) / (scale.threads * scale.io_calls)}

    return sample


def tasks(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    """Seconds per task, all of them inside the protected function at the same time."""
    need_async(candidate)

    async def wait(value: int) -> int:
        await asyncio.sleep(0)
        return value

    patient = replace(Rules(), slow_after=LONG)  # they all take as long as the slowest
    fn = protect(candidate, patient, wait)

    async def gather() -> float:
        started = time.thread_time()
        await asyncio.gather(*[fn(1) for _ in range(scale.tasks)])
        return (time.thread_time() - started) / scale.tasks

    return lambda: {"seconds": run(gather())}


def contention_threads(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    need_threads(candidate)
    if isinstance(candidate, BareCall):
        raise UnsupportedError("has no such state")
    return lambda: half_open_threads(candidate, scale.callers)


def contention_tasks(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    need_async(candidate)
    if isinstance(candidate, BareCall):
        raise UnsupportedError("has no such state")
    return lambda: half_open_tasks(candidate, scale.callers, run)


# Many breakers


def breakers(candidate: Candidate, number: int) -> list[Any]:
    rules = Rules()
    return [candidate.stored(rules, new_name()) for _ in range(number)]


def memory(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    """Bytes per breaker: new, and after as many calls as the window holds."""
    if isinstance(candidate, BareCall):
        raise UnsupportedError("has none")

    def sample() -> Sample:
        candidate.fill(candidate.stored(Rules(), new_name()), 1)  # what the library makes once only
        gc.collect()
        tracemalloc.start()
        try:
            empty, _ = tracemalloc.get_traced_memory()
            kept = breakers(candidate, scale.kept)
            new, _ = tracemalloc.get_traced_memory()
            for breaker in kept:
                candidate.fill(breaker, Rules().window)
            gc.collect()
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        candidate.forget()
        return {"new": (new - empty) / scale.kept, "used": (used - empty) / scale.kept}

    return sample


def creation(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
    """Seconds to make one breaker, when all of them are kept."""
    if isinstance(candidate, BareCall):
        raise UnsupportedError("has none")

    def sample() -> Sample:
        measure.settle()
        started = time.thread_time()
        kept = breakers(candidate, scale.created)
        elapsed = time.thread_time() - started
        candidate.forget()
        return {"seconds": elapsed / len(kept)}

    return sample


# The size of the window


def window_of(size: int) -> Callable[[Candidate, Scale, measure.Run], Sampler]:
    rules = replace(Rules(), window=size, minimum_calls=size)

    def prepare(candidate: Candidate, scale: Scale, run: measure.Run) -> Sampler:
        if not candidate.has_window and not isinstance(candidate, BareCall):
            raise UnsupportedError("no window")
        fn = protect(candidate, rules, work)
        for _ in range(size if candidate.has_window else 0):
            fn(1)
        return seconds(calibrated(measure.calls(fn), scale.budget))

    return prepare


def scenarios(scale: Scale) -> list[Scenario]:
    """All of them, in the order of the report."""
    wrapper, bare = EmptyWrapper.label, BareCall.label
    return [
        Scenario("closed", "sync, closed", closed, wrapper),
        Scenario("closed_async", "async, closed", closed_async, wrapper),
        Scenario("rejected", "sync, rejected", rejected, wrapper),
        Scenario("rejected_async", "async, rejected", rejected_async, wrapper),
        Scenario("failing", "sync, 1 in 3 fails", failing, wrapper),
        Scenario("failing_async", "async, 1 in 3 fails", failing_async, wrapper),
        Scenario("generator_1", "generator, 1 item", generator_of(1), wrapper),
        Scenario("generator_100", "generator, 100 items", generator_of(100), wrapper),
        Scenario("async_generator_1", "async generator, 1 item", async_generator_of(1), wrapper),
        Scenario("async_generator_100", "async generator, 100 items", async_generator_of(100), wrapper),
        Scenario("threads", f"{scale.threads} threads, 1 ms I/O", threads, bare, throughput=True, few=True),
        Scenario("tasks", f"{scale.tasks:,} tasks at once", tasks, bare, few=True),
        Scenario("half_open", f"half-open, {scale.callers} threads at once", contention_threads, few=True),
        Scenario("half_open_async", f"half-open, {scale.callers} tasks at once", contention_tasks, few=True),
        Scenario("memory", f"bytes per breaker, of {scale.kept:,}", memory, few=True),
        Scenario("creation", f"creation of {scale.created:,} breakers", creation, few=True),
        *[Scenario(f"window_{size}", f"window of {size:,}", window_of(size), wrapper) for size in scale.windows],
    ]
