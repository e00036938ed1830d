"""recloser, with everything on. The kernel is chosen when the library is imported, so each has its own process."""

from __future__ import annotations

from functools import cache

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules
from recloser import CircuitBreaker, CircuitOpenError, CountWindow, Settings, kernel_name

_KERNELS = {"c": "C", "python": "Python"}


@cache
def _settings(rules: Rules) -> Settings:
    return Settings(
        failure_threshold=rules.failures,
        failure_rate_threshold=rules.rate,
        slow_call_duration=rules.slow_after,
        slow_call_rate_threshold=rules.slow_rate,
        window=CountWindow(rules.window),
        minimum_calls=rules.minimum_calls,
        open_for=rules.open_for,
        half_open_timeout=rules.half_open_timeout,
        half_open_max_calls=1,
        success_threshold=1,
    )


class Recloser(Candidate):
    label = f"recloser {_KERNELS.get(kernel_name(), kernel_name())}"
    distribution = "recloser"
    rejection = CircuitOpenError
    features = Features(
        window="last 100 calls, and consecutive failures",
        histogram=True,
        slow_calls=True,
        threads="yes",
        probe_limit="1 at a time",
    )
    generators = async_generators = True
    has_window = True

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> CircuitBreaker:
        return CircuitBreaker(name, _settings(rules))


CANDIDATES = (Recloser(),)
