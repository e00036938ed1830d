"""interlock-cb: one class for sync and async, failure and slow-call rate over a window."""

from __future__ import annotations

from functools import cache

from interlock import CircuitBreaker, CircuitOpenError, Config

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules


@cache
def _config(rules: Rules) -> Config:
    return Config(
        failure_rate_threshold=rules.rate,
        minimum_number_of_calls=rules.minimum_calls,
        slow_call_duration_threshold=rules.slow_after,
        slow_call_rate_threshold=rules.slow_rate,
        permitted_calls_in_half_open=1,
        max_concurrent_probes=1,
        wait_duration_in_open=rules.open_for,
        window_size=rules.window,
    )


class Interlock(Candidate):
    label = distribution = "interlock-cb"
    rejection = CircuitOpenError
    features = Features(
        window="last 100 calls", slow_calls=True, threads="yes", probe_limit="1 at a time", note="No storage."
    )
    has_window = True

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> CircuitBreaker:
        return CircuitBreaker(name=name, config=_config(rules))


CANDIDATES = (Interlock(),)
