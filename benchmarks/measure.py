"""Timing loops, all of the same shape, and what is made of their figures.

None of these calls waits for anything, so that the processor time of the thread is the time that passes on an idle
machine, and on a busy one the time of other programs stays out of it.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from time import thread_time
from types import FunctionType
from typing import Any

Timer = Callable[[int], float]
"""Makes so many calls and returns the seconds they took."""


def own(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The loop with a code object of its own: the interpreter adapts code to what it runs, and each candidate gets
    a loop that has run nothing else."""
    return FunctionType(loop.__code__.replace(), loop.__globals__, loop.__name__, closure=loop.__closure__)


class DependencyError(Exception):
    """How the protected function fails."""


class NotRejectedError(Exception):
    """A call went through although the circuit is open."""


def calls(fn: Callable[..., Any]) -> Timer:
    """Calls that succeed."""

    @own
    def timer(number: int) -> float:
        started = thread_time()
        for _ in repeat(None, number):
            fn(1)
        return thread_time() - started

    return timer


def reads(fn: Callable[..., Any], items: int) -> Timer:
    """Calls of a generator function, each read to its end."""

    @own
    def timer(number: int) -> float:
        started = thread_time()
        for _ in repeat(None, number):
            for _item in fn(items):
                pass
        return thread_time() - started

    return timer


def rejected_calls(fn: Callable[..., Any], rejection: type[BaseException]) -> Timer:
    """Calls that must all raise `rejection`."""

    @own
    def timer(number: int) -> float:
        started = thread_time()
        for _ in repeat(None, number):
            try:
                fn(1)
            except rejection:
                continue
            raise NotRejectedError
        return thread_time() - started

    return timer


def failing_calls(fn: Callable[..., Any]) -> Timer:
    """One call in three fails, so that no threshold is reached."""

    @own
    def timer(number: int) -> float:
        started = thread_time()
        for _ in repeat(None, number // 3):
            try:
                fn(True)
            except DependencyError:
                pass
            fn(False)
            fn(False)
        return thread_time() - started

    return timer


Run = Callable[[Awaitable[float]], float]
"""Runs a coroutine in the process's event loop."""


def async_calls(fn: Callable[..., Any], run: Run) -> Timer:
    """As `calls`."""

    @own
    async def timer(number: int) -> float:
        started = thread_time()
        for _ in repeat(None, number):
            await fn(1)
        return thread_time() - started

    return lambda number: run(timer(number))


def async_reads(fn: Callable[..., Any], items: int, run: Run) -> Timer:
    """As `reads`."""

    @own
    async def timer(number: int) -> float:
        started = thread_time()
        for _ in repeat(None, number):
            async for _item in fn(items):
                pass
        return thread_time() - started

    return lambda number: run(timer(number))


def async_rejected_calls(fn: Callable[..., Any], rejection: type[BaseException], run: Run) -> Timer:
    """As `rejected_calls`."""

    @own
    async def timer(number: int) -> float:
        started = thread_time()
        for _ in repeat(None, number):
            try:
                await fn(1)
            except rejection:
                continue
            raise NotRejectedError
        return thread_time() - started

    return lambda number: run(timer(number))


def async_failing_calls(fn: Callable[..., Any], run: Run) -> Timer:
    """As `failing_calls`."""

    @own
    async def timer(number: int) -> float:
        started = thread_time()
        for _ in repeat(None, number // 3):
            try:
                await fn(True)
            except DependencyError:
                pass
            await fn(False)
            await fn(False)
        return thread_time() - started

    return lambda number: run(timer(number))


def calibrated(timer: Timer, budget: float) -> Callable[[], float]:
    """A timing of about `budget` seconds that returns the seconds of one call. Calls come in threes."""
    number = 3
    while (elapsed := timer(number)) < budget / 4:
        number *= 4
    number = max(3, int(number * budget / elapsed) // 3 * 3)
    return lambda: timer(number) / number


def settle() -> None:
    """Start from a clean heap. The garbage collector stays on: what it costs a candidate is part of its cost."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The quartiles of the values; one value is its own quartiles."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, statistics.median(values), high)
