"""Being told that a module has been imported, without importing it."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any


class ImportHook(importlib.abc.MetaPathFinder):
    """Calls `imported(name)` when the code of one of these modules has run.

    It finds nothing itself: it asks the finders after it, and lets the loader they give tell it when it is done. The
    module, its spec and its loader stay what they would be without it.
    """

    def __init__(self, names: Iterable[str], imported: Callable[[str], None]) -> None:
        self._names = frozenset(names)
        self._imported = imported

    def install(self) -> None:
        """Begin. Modules that are imported already are not told of."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """End."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What the next finders find, with a loader that tells us."""
        if name not in self._names:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            find = getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                self._watch(spec.loader, name)
                return spec  # type: ignore[no-any-return]
        return None

    def _watch(self, loader: Any, name: str) -> None:
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module: ModuleType) -> None:
            if module.__name__ != name:  # a loader that is shared by several modules
                execute(module)
                return
            del loader.exec_module
            execute(module)
            if self in sys.meta_path:
                self._imported(name)

        loader.exec_module = exec_module
