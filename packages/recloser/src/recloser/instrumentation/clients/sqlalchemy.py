"""SQLAlchemy: the dialect of each engine is wrapped, as `recloser.integrations.sqlalchemy.protect` does it."""

from __future__ import annotations

import functools
import gc
import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import URL, Dialect

from recloser.errors import CircuitOpenError
from recloser.instrumentation import naming
from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.nesting import Outermost, protected
from recloser.instrumentation.patches import Patches
from recloser.integrations import sqlalchemy as integration
from recloser.integrations._data import Guard, Judge
from recloser.integrations._http import reasons_of


def patch(patches: Patches, dependencies: Dependencies) -> None:
    """Patch SQLAlchemy. Engines that exist already are looked for in memory."""
    engines = _Engines(dependencies)
    original = Engine.__init__

    @functools.wraps(original)
    def __init__(self: Engine, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        engines.wrap(self)

    patches.replace(Engine, "__init__", __init__)
    patches.on_undo(engines.unwrap_all)
    for found in gc.get_objects():
        if issubclass(type(found), Engine):
            engines.wrap(found)


class _Engines:
    """The engines of the program, by their dialects."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._wrapped: weakref.WeakSet[Dialect] = weakref.WeakSet()

    def wrap(self, engine: Engine) -> None:
        """Protect what an engine does, unless the program does so itself."""
        dialect = engine.dialect
        if dialect in self._wrapped or not self._dependencies.active:
            return
        kind, key = name_of(engine.url, dialect)
        blocks = _Blocks(self._dependencies, dialect, kind, key)
        marked: Any = dialect
        marked.recloser_instrumented = integration.Protection(dialect, blocks.block, blocks.find)
        self._wrapped.add(dialect)

    def unwrap_all(self) -> None:
        """Give each dialect its own methods back."""
        for dialect in list(self._wrapped):
            vars(dialect).pop("recloser_instrumented").undo()
        self._wrapped.clear()


class _Blocks:
    """Makes the block of each call of one engine."""

    def __init__(self, dependencies: Dependencies, dialect: Dialect, kind: str, key: str) -> None:
        self._dependencies = dependencies
        self._dialect = dialect
        self._kind = kind
        self._key = key
        self._judge: Judge = functools.partial(integration.judge, dialect)
        self._rejection = functools.partial(_rejection, dialect)

    def find(self) -> Guard | None:
        """What protects a call; None when nothing does, or the program itself."""
        if integration.is_protected(self._dialect):
            return None
        return self._dependencies.guard(self._kind, self._key, self._judge, self._rejection)

    def block(self, method: str, arguments: tuple[Any, ...]) -> AbstractContextManager[object] | None:
        """The block of one call of a dialect's method."""
        if protected.get():
            return None
        if integration.is_protected(self._dialect):
            return Outermost(nullcontext())  # the program has asked its own breaker, for the driver as well
        guard = self.find()
        return None if guard is None else Outermost(integration.block_of(guard, method, arguments))


def name_of(url: URL, dialect: Dialect) -> tuple[str, str]:
    """The kind and the key of an engine's database: `postgresql` and `db.example.com/orders`."""
    kind = dialect.name
    if kind == "sqlite":
        return kind, url.database or "memory"
    return kind, naming.database(kind, url.host, url.port, url.database)


def _rejection(dialect: Dialect, error: CircuitOpenError) -> Exception:
    # An error of the driver, so that SQLAlchemy makes its own OperationalError of it: that is what programs handle.
    return _rejection_of(dialect.loaded_dbapi.OperationalError)(*reasons_of(error))


@functools.cache
def _rejection_of(operational_error: type[Exception]) -> type[CircuitOpenError]:
    return type("CircuitOpenOperationalError", (CircuitOpenError, operational_error), {"__module__": __name__})
