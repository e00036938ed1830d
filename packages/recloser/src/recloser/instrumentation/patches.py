"""Attributes of other people's classes and modules, replaced so that the replacement can be taken back exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

_ABSENT = object()


class _Patch(NamedTuple):
    owner: Any
    name: str
    original: object
    replacement: object


class Patches:
    """What has been replaced, and what was there before."""

    def __init__(self) -> None:
        self._done: list[_Patch] = []
        self._also: list[Callable[[], None]] = []

    @property
    def names(self) -> tuple[str, ...]:
        """What is replaced, as `module.Class.attribute`."""
        return tuple(f"{_path(patch.owner)}.{patch.name}" for patch in self._done)

    def replace(self, owner: Any, name: str, replacement: object) -> None:
        """Replace an attribute that `owner`, a class or a module, has itself or inherits."""
        self._done.append(_Patch(owner, name, vars(owner).get(name, _ABSENT), replacement))
        setattr(owner, name, replacement)

    def on_undo(self, action: Callable[[], None]) -> None:
        """Do something else, too, when everything is put back."""
        self._also.append(action)

    def undo(self) -> list[str]:
        """Put back every original.

        Returns:
            What could not be put back, because somebody has replaced our replacement since. It stays in place and
            does nothing any more.
        """
        left = []
        while self._also:
            self._also.pop()()
        while self._done:
            patch = self._done.pop()
            if vars(patch.owner).get(patch.name, _ABSENT) is not patch.replacement:
                left.append(f"{_path(patch.owner)}.{patch.name}")
            elif patch.original is _ABSENT:
                delattr(patch.owner, patch.name)
            else:
                setattr(patch.owner, patch.name, patch.original)
        return left


def _path(owner: Any) -> str:
    return f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else str(owner.__name__)
