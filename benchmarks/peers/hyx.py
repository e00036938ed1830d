"""hyx: primitives for asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

from hyx.circuitbreaker import consecutive_breaker
from hyx.circuitbreaker.exceptions import BreakerFailing

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules


class Hyx(Candidate):
    label = distribution = "hyx"
    rejection = BreakerFailing
    sync = False
    features = Features(
        threads="no (asyncio)", note="Async only. In half-open every call is let through until one has answered."
    )

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> consecutive_breaker:
        return consecutive_breaker(
            failure_threshold=rules.failures, recovery_time_secs=rules.open_for, recovery_threshold=1
        )

    def fill(self, stored: Any, calls: int) -> None:
        async def fill() -> None:
            for _ in range(calls):
                async with stored:
                    pass

        asyncio.run(fill())


CANDIDATES = (Hyx(),)
