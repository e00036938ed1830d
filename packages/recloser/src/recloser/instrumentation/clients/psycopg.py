"""psycopg 3: connecting and the statements of all cursors, sync and async."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from recloser.errors import CircuitOpenError
from recloser.instrumentation import naming
from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.nesting import protected
from recloser.instrumentation.patches import Patches
from recloser.integrations import psycopg as integration
from recloser.integrations._data import Guard
from recloser.integrations._http import reasons_of
from recloser.integrations.psycopg import is_protected, judge

KIND = "postgresql"


class CircuitOpenOperationalError(CircuitOpenError, psycopg.OperationalError):
    """A call was rejected without being sent; code that handles the driver's own errors handles this one, too."""


def patch(patches: Patches, dependencies: Dependencies) -> None:
    """Patch psycopg."""
    find = _Finder(dependencies)
    for connection, connecting in (
        (psycopg.Connection, _connecting),
        (psycopg.AsyncConnection, _connecting_async),
    ):
        original = vars(connection)["connect"].__func__
        patches.replace(connection, "connect", classmethod(connecting(original, find)))
    patches.replace(psycopg, "connect", psycopg.Connection.connect)
    for cursor in (psycopg.Cursor, psycopg.ServerCursor, psycopg.AsyncCursor, psycopg.AsyncServerCursor):
        for name, method in integration.guarded_methods(cursor, find.for_statement).items():
            if name in vars(cursor):
                patches.replace(cursor, name, method)


class _Finder:
    """Finds what protects a call."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies

    def for_connecting(self, connection: type[Any], key: str) -> Guard | None:
        """What protects connecting; None when nothing does, or something else."""
        if protected.get() or is_protected(connection):
            return None
        return self._dependencies.guard(KIND, key, judge, _rejection)

    def for_statement(self, cursor: Any) -> Guard | None:
        """What protects a statement."""
        if protected.get() or is_protected(type(cursor)):
            return None
        connection = cursor.connection
        key = getattr(connection, "recloser_key", None)
        if key is None:
            if connection.closed:
                return None  # nothing will be sent
            info = connection.info
            key = connection.recloser_key = naming.database(KIND, info.host, info.port, info.dbname)
        return self._dependencies.guard(KIND, key, judge, _rejection)


def key_of(conninfo: str, kwargs: dict[str, Any]) -> str:
    """The key of a database about to be connected to, from what libpq will go by: arguments, then its variables."""
    given = conninfo_to_dict(conninfo, **{name: value for name, value in kwargs.items() if name in _KEYWORDS})

    def choose(name: str, variable: str) -> Any:
        return given.get(name) or os.environ.get(variable)

    database = choose("dbname", "PGDATABASE") or choose("user", "PGUSER")
    return naming.database(KIND, choose("host", "PGHOST"), choose("port", "PGPORT"), database)


_KEYWORDS = ("host", "port", "dbname", "user")


def _rejection(error: CircuitOpenError) -> CircuitOpenOperationalError:
    return CircuitOpenOperationalError(*reasons_of(error))


def _connecting(original: Callable[..., Any], find: _Finder) -> Callable[..., Any]:
    @functools.wraps(original)
    def connect(cls: type[Any], conninfo: str = "", **kwargs: Any) -> Any:
        key = key_of(conninfo, kwargs)
        guard = find.for_connecting(cls, key)
        if guard is None:
            return original(cls, conninfo, **kwargs)
        with guard.connecting():
            connection = original(cls, conninfo, **kwargs)
        connection.recloser_key = key
        return connection

    return connect


def _connecting_async(original: Callable[..., Any], find: _Finder) -> Callable[..., Any]:
    @functools.wraps(original)
    async def connect(cls: type[Any], conninfo: str = "", **kwargs: Any) -> Any:
        key = key_of(conninfo, kwargs)
        guard = find.for_connecting(cls, key)
        if guard is None:
            return await original(cls, conninfo, **kwargs)
        with guard.connecting():
            connection = await original(cls, conninfo, **kwargs)
        connection.recloser_key = key
        return connection

    return connect
