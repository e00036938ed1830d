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
from recloser.integrations._data import Judge
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
        marked: Any = dialect
        marked.recloser_instrumented = integration.wrap(dialect, _Blocks(self._dependencies, dialect, kind, key))
        self._wrapped.add(dialect)

    def unwrap_all(self) -> None:
        """Give each dialect its own methods back."""
        for dialect in list(self._wrapped):
            integration.unwrap(dialect, vars(dialect).pop("recloser_instrumented"))
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

    def __call__(self, connecting: bool) -> AbstractContextManager[object] | None:
        if protected.get():
            return None
        if integration.is_protected(self._dialect):
            return Outermost(nullcontext())  # the program has asked its own breaker, for the driver as well
        guard = self._dependencies.guard(self._kind, self._key, self._judge, self._rejection)
        if guard is None:
            return None
        return Outermost(guard.connecting() if connecting else guard.call())


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
