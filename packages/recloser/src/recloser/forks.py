"""Locks that survive `os.fork`: nobody is inside one at the moment of the fork, and the child gets new ones."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """Something that owns a lock and must know that it woke up in a forked child."""

    lock: threading.Lock

    def after_fork(self) -> None:
        """Called in the child, with a new `lock` in place."""
        ...


# Outer locks (registries) are taken before inner ones (breakers), in the order in which the library nests them.
_outer: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_inner: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_mutex = threading.Lock()
_held: list[ForkAware] = []


def register(owner: ForkAware, *, outer: bool = False) -> None:
    """Protect `owner.lock` over forks, for as long as the owner lives."""
    with _mutex:
        (_outer if outer else _inner).add(owner)


def _before() -> None:
    _mutex.acquire()
    for owner in [*_outer, *_inner]:
        owner.lock.acquire()
        _held.append(owner)


def _after_in_parent() -> None:
    while _held:
        _held.pop().lock.release()
    _mutex.release()


def _after_in_child() -> None:
    global _mutex
    owners = list(_held)
    _held.clear()
    _mutex = threading.Lock()
    for owner in owners:
        owner.lock = threading.Lock()
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
