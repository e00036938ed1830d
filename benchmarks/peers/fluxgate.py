"""fluxgate: composable rules over a window; one class for sync and one for async code."""

from __future__ import annotations

from functools import cache
from typing import Any

from fluxgate import AsyncCircuitBreaker, CallNotPermittedError, CircuitBreaker
from fluxgate.retries import Cooldown
from fluxgate.trippers import FailureRate, FailureStreak, MinRequests, SlowRate, Tripper
from fluxgate.windows import CountWindow

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules


@cache
def _tripper(rules: Rules) -> Tripper:
    by_rate = FailureRate(rules.rate) | SlowRate(rules.slow_rate, threshold=rules.slow_after)
    return FailureStreak(rules.failures) | (MinRequests(rules.minimum_calls) & by_rate)


class Fluxgate(Candidate):
    label = distribution = "fluxgate"
    rejection = CallNotPermittedError
    features = Features(
        window="last 100 calls, and consecutive failures",
        slow_calls=True,
        threads="no",
        probe_limit="1 at a time (async), a random tenth of the calls at first",
        note="Its permit in half-open is the default, a random share of the calls that grows from 10 %. The sync class "
        "is not for threads, say its authors, and so is not measured there.",
    )
    has_window = True

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> Any:
        window, tripper, retry = CountWindow(rules.window), _tripper(rules), Cooldown(rules.open_for)
        if asynchronous:
            return AsyncCircuitBreaker(window=window, tripper=tripper, retry=retry, max_half_open_calls=1)
        return CircuitBreaker(window=window, tripper=tripper, retry=retry)


CANDIDATES = (Fluxgate(),)
