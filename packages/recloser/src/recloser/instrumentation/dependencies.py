"""The breakers of an instrumented program: found, or made, by what a client is about to talk to."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

from recloser.breaker import CircuitBreaker
from recloser.errors import CircuitOpenError
from recloser.integrations._data import Guard, Judge
from recloser.integrations.options import Options
from recloser.keyed import KeyedBreakers
from recloser.presets import PRESETS
from recloser.registry import Registry
from recloser.settings import Settings
from recloser.targets import KINDS

MAX_BREAKERS = 1_000
"""Bound on the breakers of one kind."""

OTHERS = "(others)"
"""Key of the breaker that stands for all beyond the bound, where none can be forgotten."""


def preset_of(kind: str) -> Settings:
    """What a breaker of this kind starts from; an engine of a database that is not known is a database all the same."""
    return PRESETS[KINDS.get(kind, "database")]()


class Dependencies:
    """Finds the breaker of a dependency.

    Args:
        registry: Holds the breakers.
        leave_out: Patterns of names that get none, and names of clients.
        keep: Whether breakers are never forgotten, as in shadow mode, whose counts are wanted at the end. What comes
            after the bound then shares one breaker.
    """

    def __init__(self, registry: Registry, leave_out: Iterable[str], *, keep: bool) -> None:
        self.registry = registry
        self.active = True
        self._leave_out = tuple(leave_out)
        self._patterns = tuple(name for name in self._leave_out if ":" in name)
        self._keep = keep
        self._known: set[str] = set()
        self._keyed: dict[str, KeyedBreakers] = {}

    def wants(self, kind: str, key: str) -> bool:
        """Whether calls to this dependency are to be protected."""
        if not self.active:
            return False
        name = f"{kind}:{key}"
        return not any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns)

    def wants_client(self, client: str) -> bool:
        """Whether calls of this client are to be protected."""
        return self.active and client not in self._leave_out

    def breaker(self, kind: str, key: str) -> CircuitBreaker:
        """The breaker of a dependency that is wanted."""
        keyed = self._keyed.get(kind)
        if keyed is None:
            keyed = self.registry.keyed(kind, preset_of(kind), max_breakers=MAX_BREAKERS)
            self._keyed[kind] = keyed
        return keyed.get(self.bounded(kind, key))

    def bounded(self, kind: str, key: str) -> str:
        """The key itself, or the one for all others when there are too many that cannot be forgotten."""
        name = f"{kind}:{key}"
        if not self._keep or name in self._known:
            return key
        if len(self._known) >= MAX_BREAKERS:
            return OTHERS
        self._known.add(name)
        return key

    def options(self, kind: str, key: Callable[[Any], str]) -> Options[Any]:
        """How integrations of HTTP clients find the same breakers, by the key of a request."""
        return {
            "registry": self.registry,
            "name": kind,
            "settings": preset_of(kind),
            "max_breakers": MAX_BREAKERS,
            "key": lambda request: self.bounded(kind, key(request)),
        }

    def guard(
        self, kind: str, key: str, judge: Judge, rejection: Callable[[CircuitOpenError], Exception]
    ) -> Guard | None:
        """What protects calls to a database or cache; None when it is not wanted.

        Args:
            kind: Of the dependency.
            key: Which one of them.
            judge: What an exception says of the server.
            rejection: Makes a rejection an error of the client, which the program knows how to handle.
        """
        return Guard(self.breaker(kind, key), judge, rejection) if self.wants(kind, key) else None
