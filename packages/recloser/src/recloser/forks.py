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


KEYED, REGISTRY, BREAKER = range(3)
"""What owns a lock, in the order in which the library nests them."""

_owners: tuple[weakref.WeakSet[ForkAware], ...] = tuple(weakref.WeakSet() for _ in (KEYED, REGISTRY, BREAKER))
_mutex = threading.Lock()  # the innermost of all: an owner may be made while outer locks are held
_held: list[ForkAware] = []


def register(owner: ForkAware, level: int) -> None:
    """Protect `owner.lock` over forks, for as long as the owner lives."""
    with _mutex:
        _owners[level].add(owner)


def _before() -> None:
    while True:
        with _mutex:
            held = [owner for level in _owners for owner in level]
        for owner in held:
            owner.lock.acquire()
        _mutex.acquire()
        known = set(map(id, held))
        if all(id(owner) in known for level in _owners for owner in level):
            break
        # Another thread made an owner meanwhile. Its lock has its place in the order: begin again.
        _mutex.release()
        for owner in held:
            owner.lock.release()
    _held.extend(held)


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
