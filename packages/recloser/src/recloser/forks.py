"""Locks that survive `os.fork`: nobody is inside one at the moment of the fork, and the child gets new ones."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from typing import Protocol


class ForkAware(Protocol):
    """Something that owns a lock and must know that it woke up in a forked child."""

    lock: threading.Lock

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
        if len(self._references) <= self._limit:
            return []
        alive = list(self)
        self._references = [weakref.ref(owner) for owner in alive]
        self._limit = 64 + 2 * len(alive)
        return alive

    def __iter__(self) -> Iterator[ForkAware]:
        for reference in self._references:
            owner = reference()
            if owner is not None:
                yield owner


_owners = (_Owners(), _Owners(), _Owners())
_mutex = threading.Lock()  # the innermost of all: an owner may be made while outer locks are held
_held: list[ForkAware] = []


def register(owner: ForkAware, level: int) -> None:
    """Protect `owner.lock` over forks, for as long as the owner lives."""
    reference = weakref.ref(owner)
    with _mutex:
        alive = _owners[level].add(reference)
    alive.clear()


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
