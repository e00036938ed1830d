"""pyresilience: one decorator for several patterns. Measured as it is by default, and with its window."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pyresilience import CircuitBreaker, CircuitBreakerConfig, CircuitOpenError, resilient

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules

_NOTE = (
    "In half-open every call is let through. Memory and creation: its CircuitBreaker object alone; the decorator "
    "keeps more for each function."
)


@cache
def _config(rules: Rules, windowed: bool) -> CircuitBreakerConfig:
    if not windowed:
        return CircuitBreakerConfig(
            failure_threshold=rules.failures, recovery_timeout=rules.open_for, success_threshold=1
        )
    return CircuitBreakerConfig(
        recovery_timeout=rules.open_for,
        success_threshold=1,
        sliding_window_size=rules.window,
        failure_rate_threshold=rules.rate,
        minimum_calls=rules.minimum_calls,
        slow_call_duration=rules.slow_after,
        slow_call_rate_threshold=rules.slow_rate,
    )


class Pyresilience(Candidate):
    label = distribution = "pyresilience"
    rejection = CircuitOpenError
    features = Features(threads="yes", note=_NOTE)

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> Callable[..., Any]:
        return resilient(circuit_breaker=_config(rules, self.has_window))

    def stored(self, rules: Rules, name: str) -> CircuitBreaker:
        return CircuitBreaker(_config(rules, self.has_window))

    def fill(self, stored: Any, calls: int) -> None:
        for _ in range(calls):
            stored.record_success(0.0)


class PyresilienceWindow(Pyresilience):
    label = "pyresilience, window"
    features = Features(
        window="last 100 calls", slow_calls=True, threads="yes", note="Adds up its whole window at each call. " + _NOTE
    )
    has_window = True


CANDIDATES = (Pyresilience(), PyresilienceWindow())
