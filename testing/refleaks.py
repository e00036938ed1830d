"""Count references over rounds of every kind of call. Run by a debug build of CPython; see testing/native.py.

After two rounds of warming up, a round must not leave more references than it found: what leaks, leaks every time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

from recloser import CircuitBreaker, CircuitOpenError, Settings, kernel_name

ROUNDS, CALLS = 6, 200


class _Down(Exception):
    pass


def _ok() -> str:
    return "fine"


def _down() -> None:
    raise _Down


async def _ok_async() -> str:
    await asyncio.sleep(0)
    return "fine"


async def _down_async() -> None:
    raise _Down


def _items() -> Iterator[int]:
    yield from range(3)


def _breaks() -> Iterator[int]:
    yield 1
    raise _Down


async def _items_async() -> AsyncIterator[int]:
    for number in range(3):
        await asyncio.sleep(0)
        yield number


async def _breaks_async() -> AsyncIterator[int]:
    yield 1
    raise _Down


def _drop(stream: Any) -> None:
    next(stream)


async def _exhaust(stream: Any) -> None:
    async for _ in stream:
        pass


async def _close(stream: Any) -> None:
    await anext(stream)
    await stream.aclose()


async def _throw(stream: Any) -> None:
    await anext(stream)
    await stream.athrow(_Down)


WAYS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "function": (_ok, lambda result: None),
    "function that raises": (_down, lambda result: None),
    "generator": (_items, list),
    "generator that raises": (_breaks, list),
    "generator, dropped": (_items, _drop),
    "generator, never started": (_items, lambda stream: None),
    "coroutine": (_ok_async, lambda call: call),
    "coroutine that raises": (_down_async, lambda call: call),
    "async generator": (_items_async, _exhaust),
    "async generator that raises": (_breaks_async, _exhaust),
    "async generator, closed": (_items_async, _close),
    "async generator, thrown into": (_items_async, _throw),
    "async generator, never started": (_items_async, lambda stream: None),
}


async def _round(protected: Callable[..., Any], use: Callable[[Any], Any]) -> None:
    for _ in range(CALLS):
        with contextlib.suppress(_Down, CircuitOpenError):
            pending = use(protected())
            if pending is not None and hasattr(pending, "__await__"):
                await pending


def _left_behind(protected: Callable[..., Any], use: Callable[[Any], Any]) -> list[int]:
    counts = []
    for _ in range(ROUNDS + 2):
        asyncio.run(_round(protected, use))
        gc.collect()
        counts.append(sys.gettotalrefcount())  # type: ignore[attr-defined]
    return [after - before for before, after in pairwise(counts[2:])]


def main() -> int:
    """Print what each kind of call leaves behind in each round; 1 when one leaves something in every round."""
    leaks = 0
    for path in ("hot", "with permits", "rejected"):
        for name, (fn, use) in WAYS.items():
            breaker = CircuitBreaker("leak", Settings(failure_threshold=10**9))
            if path == "with permits":
                breaker.add_listener(lambda event: None)
            elif path == "rejected":
                breaker.force_open("test")
            left = _left_behind(breaker(fn), use)
            leaking = min(left) >= CALLS // 10
            leaks += leaking
            if leaking or breaker.stats().in_flight:
                print(f"LEAK: {name}, {path}: {left} references in rounds of {CALLS} calls")
    print(f"{3 * len(WAYS)} kinds of calls on the {kernel_name()} kernel: {leaks} leak references")
    return int(leaks > 0)


if __name__ == "__main__":
    sys.exit(main())
