"""pybreaker: consecutive failures, safe for threads."""

from __future__ import annotations

from pybreaker import CircuitBreaker, CircuitBreakerError

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules


class Pybreaker(Candidate):
    label = distribution = "pybreaker"
    rejection = CircuitBreakerError
    asynchronous = False
    generators = True
    features = Features(
        threads="yes",
        probe_limit="1 at a time, by its lock",
        note="In-memory storage. Holds its lock while the protected function runs, so that calls of several threads "
        "run one after another. Async for Tornado only.",
    )

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> CircuitBreaker:
        return CircuitBreaker(fail_max=rules.failures, reset_timeout=rules.open_for, success_threshold=1, name=name)


CANDIDATES = (Pybreaker(),)
