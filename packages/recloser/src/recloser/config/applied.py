"""Configurations applied to registries, and what code had said of each breaker before."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

from recloser.breaker import CircuitBreaker
from recloser.config.resolve import Fields, fields_of
from recloser.errors import DuplicateBreakerError
from recloser.settings import Settings

if TYPE_CHECKING:
    from recloser.registry import Registry


class _Origin(NamedTuple):
    """A breaker's settings in code, and those that a configuration made of them."""

    code: Fields
    applied: Settings


_origins: weakref.WeakKeyDictionary[CircuitBreaker, _Origin] = weakref.WeakKeyDictionary()

lock = threading.RLock()
"""One configuration is applied at a time. No call through a breaker ever waits for this lock."""


def _after_fork_in_child() -> None:
    global lock
    lock = threading.RLock()  # another thread may have held it, and is gone


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def code_of(registry: Registry, name: str) -> tuple[Fields, bool]:
    """What code says of a breaker, and whether a configuration has changed it before."""
    breaker = registry.get(name)
    if breaker is None:
        return fields_of(registry.settings), False
    now = breaker.settings
    origin = _origins.get(breaker)
    if origin is None:
        return fields_of(now), False
    # Code may have reconfigured it since: what differs from what we applied is the code's word.
    changed = {field: value for field, value in fields_of(now).items() if value != getattr(origin.applied, field)}
    return {**origin.code, **changed}, True


def note(breaker: CircuitBreaker, code: Fields, settings: Settings) -> None:
    """Code has asked for a breaker, and the configuration makes `settings` of it."""
    _origins[breaker] = _Origin(code, settings)


def put(registry: Registry, name: str, code: Fields, settings: Settings) -> bool:
    """Give one breaker its settings; whether that changed anything."""
    breaker = registry.get(name)
    changed = breaker is None
    if breaker is None:
        try:
            breaker = registry.add_configured(name, settings)
        except DuplicateBreakerError:  # made by another thread a moment ago
            breaker = registry[name]
    if breaker.settings != settings:
        breaker.reconfigure(settings)
        changed = True
    _origins[breaker] = _Origin(code, breaker.settings)
    return changed
