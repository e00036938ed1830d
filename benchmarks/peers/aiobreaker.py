"""aiobreaker: pybreaker for asyncio."""

from __future__ import annotations

from datetime import timedelta

from aiobreaker import CircuitBreaker, CircuitBreakerError

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules


class Aiobreaker(Candidate):
    label = distribution = "aiobreaker"
    rejection = CircuitBreakerError
    generators = True
    features = Features(
        note="In-memory storage. No lock. In half-open every call is let through until one has answered."
    )

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> CircuitBreaker:
        return CircuitBreaker(fail_max=rules.failures, timeout_duration=timedelta(seconds=rules.open_for), name=name)


CANDIDATES = (Aiobreaker(),)
