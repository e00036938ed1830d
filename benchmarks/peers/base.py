"""What the scenarios ask of a candidate: one small class for each library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from benchmarks.rules import Rules


@dataclass(frozen=True)
class Features:
    """What a candidate had on while it was measured."""

    window: str = "none (consecutive failures)"
    histogram: bool = False
    slow_calls: bool = False
    threads: str = "not stated"
    """What its authors say of threads: ``yes``, ``no`` or ``not stated``."""
    probe_limit: str = "none"
    note: str = ""


class Candidate:
    """One library, used as its authors document it, without listeners.

    An adapter names the library and says how to make a breaker and how to protect a function with it.
    """

    label: str
    distribution: str
    rejection: type[BaseException]
    features: Features
    sync = True
    asynchronous = True
    generators = False
    """Whether a generator that it protects is protected while it is read, and not only when it is made."""
    async_generators = False
    has_window = False
    """Whether its breakers keep a window of the last N calls."""

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> Any:
        """A new breaker with these rules."""
        raise NotImplementedError

    def protect(self, breaker: Any, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function protected by the breaker; of the same kind as `fn`."""
        return breaker(fn)  # type: ignore[no-any-return]

    def stored(self, rules: Rules, name: str) -> Any:
        """What an application keeps of one breaker, for the measure of memory and of creation."""
        return self.breaker(rules, name, asynchronous=not self.sync)

    def fill(self, stored: Any, calls: int) -> None:
        """Make successful calls through a stored breaker."""
        protected = self.protect(stored, _nothing)
        for _ in range(calls):
            protected()

    def forget(self) -> None:
        """Drop what the library itself keeps of breakers that are gone."""


_numbers = count()


def new_name() -> str:
    """A name that no breaker of this process has had: some libraries keep circuits by name."""
    return f"breaker-{next(_numbers)}"


def _nothing() -> None:
    return None
