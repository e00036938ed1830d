"""What protection costs a call, against the physical floor: the bare call and an empty wrapper.

Everything is measured in one process, interleaved: each round times every candidate once, in a new random order, and
the figures are medians over the rounds with their quartiles. Read the ratios; nanoseconds differ between machines.

    python benchmarks/overhead.py [--rounds 41] [--calls 5000]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import recloser
from recloser import CircuitBreaker, CircuitOpenError, Settings

EVERYTHING_ON = Settings(
    failure_threshold=5,
    failure_rate_threshold=0.5,
    slow_call_duration=1.0,
    slow_call_rate_threshold=0.5,
)


def work(value: int) -> int:
    return value


async def work_async(value: int) -> int:
    return value


def empty_wrapper(fn: Callable[..., int]) -> Callable[..., int]:
    def wrapper(*args: int, **kwargs: int) -> int:
        return fn(*args, **kwargs)

    return wrapper


def empty_async_wrapper(fn: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    async def wrapper(*args: int, **kwargs: int) -> int:
        return await fn(*args, **kwargs)

    return wrapper


def raising_wrapper(value: int) -> int:
    raise ValueError


def time_calls(fn: Callable[[int], object], calls: int, expected: type[Exception] | tuple[()]) -> float:
    numbers = range(calls)
    started = time.perf_counter()
    for number in numbers:
        try:
            fn(number)
        except expected:
            pass
    return (time.perf_counter() - started) / calls


def time_async_calls(fn: Callable[[int], Awaitable[object]], calls: int) -> float:
    async def run() -> float:
        numbers = range(calls)
        started = time.perf_counter()
        for number in numbers:
            await fn(number)
        return (time.perf_counter() - started) / calls

    return asyncio.run(run())


def candidates(calls: int) -> dict[str, dict[str, Callable[[], float]]]:
    closed, opened = CircuitBreaker("closed", EVERYTHING_ON), CircuitBreaker("open", EVERYTHING_ON)
    opened.force_open("benchmark")
    protected, rejected = closed(work), opened(work)
    protected_async = closed(work_async)
    return {
        "sync, closed": {
            "bare call": lambda: time_calls(work, calls, ()),
            "empty wrapper": lambda: time_calls(empty_wrapper(work), calls, ()),
            "recloser": lambda: time_calls(protected, calls, ()),
        },
        "async, closed": {
            "bare call": lambda: time_async_calls(work_async, calls),
            "empty wrapper": lambda: time_async_calls(empty_async_wrapper(work_async), calls),
            "recloser": lambda: time_async_calls(protected_async, calls),
        },
        "rejected": {
            "wrapper that raises": lambda: time_calls(raising_wrapper, calls, ValueError),
            "recloser": lambda: time_calls(rejected, calls, CircuitOpenError),
        },
    }


def measure(rounds: int, calls: int) -> dict[str, dict[str, list[float]]]:
    groups = candidates(calls)
    times: dict[str, dict[str, list[float]]] = {group: {name: [] for name in runs} for group, runs in groups.items()}
    order = [(group, name) for group, runs in groups.items() for name in runs]
    for _ in range(rounds):
        random.shuffle(order)
        for group, name in order:
            times[group][name].append(groups[group][name]())
    return times


def report(times: dict[str, dict[str, list[float]]]) -> str:
    lines = [
        f"Python {sys.version.split()[0]}, kernel {recloser.kernel_name()}; "
        "window, histogram, failure rate and slow-call rate on.",
        "",
        "| call | candidate | median ns | quartiles | ratio |",
        "|---|---|---:|---:|---:|",
    ]
    for group, runs in times.items():
        floor = "empty wrapper" if "empty wrapper" in runs else "wrapper that raises"
        for name, values in runs.items():
            low, middle, high = (value * 1e9 for value in statistics.quantiles(values, n=4))
            ratio = middle / 1e9 / statistics.median(runs[floor])
            lines.append(f"| {group} | {name} | {middle:.0f} | {low:.0f} to {high:.0f} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=41, help="rounds (default 41)")
    parser.add_argument("--calls", type=int, default=5_000, help="calls per candidate and round (default 5000)")
    arguments = parser.parse_args()
    print(report(measure(arguments.rounds, arguments.calls)))


if __name__ == "__main__":
    main()
