"""Half-open under a crowd: how many callers reach a dependency that has not answered yet, and how long all take."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

from benchmarks.measure import DependencyError, NotRejectedError, Run
from benchmarks.peers.base import Candidate, new_name
from benchmarks.rules import Rules

OPEN_FOR = 0.05
ANSWER = 0.02
"""Seconds the recovering dependency takes to answer."""
MARGIN = 1.5
RULES = replace(Rules(), open_for=OPEN_FOR)


class Dependency:
    """Fails at once while it is down; up, it answers late, and counts who came."""

    def __init__(self) -> None:
        self.down = True
        self.came = self.early = self.answered = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        if self.down:
            raise DependencyError
        with self._lock:
            self.came += 1
            self.early += not self.answered

    def leave(self) -> None:
        with self._lock:
            self.answered += 1

    def call(self) -> None:
        self.enter()
        time.sleep(ANSWER)
        self.leave()

    async def call_async(self) -> None:
        self.enter()
        await asyncio.sleep(ANSWER)
        self.leave()

    def sample(self, seconds: float) -> dict[str, float]:
        return {"early": self.early, "came": self.came, "seconds": seconds}


def half_open_threads(candidate: Candidate, callers: int) -> dict[str, float]:
    """One crowd of threads before a circuit whose open time is over."""
    dependency = Dependency()

    def call() -> None:
        dependency.call()

    protected = candidate.protect(candidate.breaker(RULES, new_name()), call)
    for _ in range(1_000):
        try:
            protected()
        except candidate.rejection:
            break
        except DependencyError:
            pass
    else:
        raise NotRejectedError
    start = threading.Barrier(callers + 1)

    def caller() -> None:
        start.wait()
        try:
            protected()
        except candidate.rejection:
            pass

    crowd = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in crowd:
        thread.start()
    dependency.down = False
    time.sleep(OPEN_FOR * MARGIN)
    start.wait()
    started = time.perf_counter()
    for thread in crowd:
        thread.join()
    candidate.forget()
    return dependency.sample(time.perf_counter() - started)


def half_open_tasks(candidate: Candidate, callers: int, run: Run) -> dict[str, float]:
    """One crowd of tasks before a circuit whose open time is over."""
    dependency = Dependency()

    async def call() -> None:
        await dependency.call_async()

    protected = candidate.protect(candidate.breaker(RULES, new_name(), asynchronous=True), call)

    async def caller() -> None:
        try:
            await protected()
        except candidate.rejection:
            pass

    async def crowd() -> float:
        for _ in range(1_000):
            try:
                await protected()
            except candidate.rejection:
                break
            except DependencyError:
                pass
        else:
            raise NotRejectedError
        dependency.down = False
        await asyncio.sleep(OPEN_FOR * MARGIN)
        started = time.perf_counter()
        await asyncio.gather(*[caller() for _ in range(callers)])
        return time.perf_counter() - started

    elapsed = run(crowd())
    candidate.forget()
    return dependency.sample(elapsed)
