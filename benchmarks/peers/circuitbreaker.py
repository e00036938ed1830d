"""circuitbreaker: a decorator that counts consecutive failures."""

from __future__ import annotations

from circuitbreaker import CircuitBreaker, CircuitBreakerError

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules


class Circuitbreaker(Candidate):
    label = distribution = "circuitbreaker"
    rejection = CircuitBreakerError
    generators = async_generators = True
    features = Features(note="No lock. After the open time every call is let through until one has answered.")

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> CircuitBreaker:
        return CircuitBreaker(failure_threshold=rules.failures, recovery_timeout=rules.open_for, name=name)


CANDIDATES = (Circuitbreaker(),)
