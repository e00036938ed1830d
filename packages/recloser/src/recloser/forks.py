"""Locks that survive `os.fork`: nobody is inside one at the moment of the fork, and the child gets new ones."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

_ReentrantLock: Any = type(threading.RLock())

_PATIENCE = 0.05
"""Seconds that a fork, with other locks held, waits for one more before it begins again."""


class OwnedLock(_ReentrantLock):  # type: ignore[misc]
    """A re-entrant lock that can tell whether this thread is inside.

    Finalisers and signal handlers run between any two steps of a locked section, in the thread that is in it.
    """

    __slots__ = ()

    is_owned = _ReentrantLock._is_owned  # what threading.Condition asks its lock


class ForkAware(Protocol):
    """Something that owns a lock and must know that it woke up in a forked child."""

    lock: OwnedLock

    def after_fork(self) -> None:
        """Called in the child, with a new `lock` in place."""
        ...


KEYED, REGISTRY, BREAKER = range(3)
"""What owns a lock, in the order in which the library nests them."""


class _Owners:
    """Weak references to owners. Dead ones are dropped when the list has doubled, so that adding is cheap."""

    def __init__(self) -> None:
        self._references: list[weakref.ref[ForkAware]] = []
        self._limit = 64

    def add(self, reference: weakref.ref[ForkAware]) -> list[ForkAware]:
        """Remember an owner for as long as it lives. The caller holds `_mutex`.

        Returns:
            Owners to be let go of without the mutex: if it was the last reference, their finalisers run.
        """
        self._references.append(reference)
        count = len(self._references)
        if count <= self._limit:
            return []
        self._limit = sys.maxsize  # a finaliser that makes an owner meanwhile only appends
        alive = list(self)
        self._references[:count] = [weakref.ref(owner) for owner in alive]
        self._limit = 64 + 2 * len(alive)
        return alive

    def __iter__(self) -> Iterator[ForkAware]:
        for reference in self._references:
            owner = reference()
            if owner is not None:
                yield owner


_owners = (_Owners(), _Owners(), _Owners())
_mutex = OwnedLock()  # the innermost of all: an owner may be made while outer locks are held
_held: list[ForkAware] = []


def register(owner: ForkAware, level: int) -> None:
    """Protect `owner.lock` over forks, for as long as the owner lives."""
    reference = weakref.ref(owner)
    with _mutex:
        alive = _owners[level].add(reference)
    alive.clear()


def _hold(owners: Sequence[ForkAware]) -> bool:
    # A finaliser in the section of one breaker may be waiting for another: nobody may wait for it with locks held.
    for position, owner in enumerate(owners):
        if not owner.lock.acquire(timeout=_PATIENCE):
            _let_go(owners[:position])
            return False
    return True


def _let_go(owners: Sequence[ForkAware]) -> None:
    for owner in reversed(owners):
        owner.lock.release()


def _before() -> None:
    while True:
        with _mutex:
            held = [owner for level in _owners for owner in level]
        if not _hold(held):
            continue
        _mutex.acquire()
        known = set(map(id, held))
        if all(id(owner) in known for level in _owners for owner in level):
            break
        # Another thread made an owner meanwhile. Its lock has its place in the order: begin again.
        _mutex.release()
        _let_go(held)
    _held.extend(held)


def _after_in_parent() -> None:
    while _held:
        _held.pop().lock.release()
    _mutex.release()


def _after_in_child() -> None:
    global _mutex
    owners = list(_held)
    _held.clear()
    _mutex = OwnedLock()
    for owner in owners:
        owner.lock = OwnedLock()
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
