"""purgatory: factories of named circuits, one for sync and one for async code."""

from __future__ import annotations

from typing import Any

from purgatory import AsyncCircuitBreakerFactory, SyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules


class Purgatory(Candidate):
    label = distribution = "purgatory"
    rejection = OpenedState
    features = Features(
        note="In-memory unit of work. Looks the circuit up by its name at each call. A rejection raises the same "
        "exception object again, and the traceback on it grows each time."
    )

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._sync, self._async = SyncCircuitBreakerFactory(), AsyncCircuitBreakerFactory()

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> Any:
        factory = self._async if asynchronous else self._sync
        return factory(name, rules.failures, rules.open_for)

    def stored(self, rules: Rules, name: str) -> Any:
        return self._sync.get_breaker(name, rules.failures, rules.open_for)

    def fill(self, stored: Any, calls: int) -> None:
        for _ in range(calls):
            with stored:
                pass


CANDIDATES = (Purgatory(),)
