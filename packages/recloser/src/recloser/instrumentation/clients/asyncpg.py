"""asyncpg: connecting and the statements of all connections, those of pools included."""

from __future__ import annotations

import functools
import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg  # type: ignore[import-untyped]
from asyncpg import connection as connections
from asyncpg.connection import Connection  # type: ignore[import-untyped]
from asyncpg.prepared_stmt import PreparedStatement  # type: ignore[import-untyped]

from recloser.errors import CircuitOpenError
from recloser.instrumentation import naming
from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.nesting import protected
from recloser.instrumentation.patches import Patches
from recloser.integrations import asyncpg as integration
from recloser.integrations._data import Guard
from recloser.integrations._http import reasons_of
from recloser.integrations.asyncpg import is_protected, judge

KIND = "postgresql"


class CircuitOpenConnectionError(CircuitOpenError, asyncpg.PostgresConnectionError, ConnectionError):  # type: ignore[misc]
    """A call was rejected without being sent; code that handles a lost or refused connection handles this one, too."""


def patch(patches: Patches, dependencies: Dependencies) -> None:
    """Patch asyncpg. A pool made before goes on connecting with the function it was made with."""
    original = connections.connect

    @functools.wraps(original)
    async def connect(dsn: str | None = None, **kwargs: Any) -> Any:
        guard = None
        if not protected.get() and not is_protected(kwargs.get("connection_class", object)):
            guard = dependencies.guard(KIND, key_of(dsn, kwargs), judge, _rejection)
        if guard is None:
            return await original(dsn, **kwargs)
        with guard.connecting():
            return await original(dsn, **kwargs)

    patches.replace(connections, "connect", connect)
    patches.replace(asyncpg, "connect", connect)

    def find(caller: Any) -> Guard | None:
        return _guard_of(caller, dependencies)

    for name in integration.STATEMENTS:
        if hasattr(Connection, name):
            patches.replace(Connection, name, integration.guarded_statement(getattr(Connection, name), find))
    patches.replace(Connection, "prepare", integration.guarded_method(Connection.prepare, find))
    for name in integration.PREPARED_STATEMENTS:
        if hasattr(PreparedStatement, name):
            patches.replace(PreparedStatement, name, integration.guarded_method(getattr(PreparedStatement, name), find))
    for kind in (Connection, PreparedStatement):
        patches.replace(kind, "cursor", integration.guarded_cursor(kind.cursor, find))


def _guard_of(caller: Any, dependencies: Dependencies) -> Guard | None:
    if protected.get() or is_protected(type(caller)):
        return None
    connection = caller._connection if isinstance(caller, PreparedStatement) else caller
    address = connection._addr
    host, port = (address[0], address[1]) if isinstance(address, tuple) else _of_socket(address)
    key = naming.database(KIND, host, port, connection._params.database)
    return dependencies.guard(KIND, key, judge, _rejection)


def _of_socket(path: str) -> tuple[str, str]:
    folder, _, port = path.rpartition("/.s.PGSQL.")
    return folder, port


def key_of(dsn: str | None, kwargs: dict[str, Any]) -> str:
    """The key of a database about to be connected to: of several hosts the first."""
    url = urlsplit(dsn or "")
    query = dict(parse_qsl(url.query))
    where = url.netloc.rpartition("@")[2].split(",")[0]
    host, _, port = where.rpartition(":") if ":" in where and not where.endswith("]") else (where, "", "")

    def choose(name: str, in_url: str, variable: str) -> Any:
        given = kwargs.get(name)
        given = given[0] if isinstance(given, list | tuple) and given else given
        return given or unquote(in_url) or query.get(name) or os.environ.get(variable)

    user = choose("user", url.username or "", "PGUSER")
    database = choose("database", url.path.lstrip("/"), "PGDATABASE") or user
    return naming.database(KIND, choose("host", host.strip("[]"), "PGHOST"), choose("port", port, "PGPORT"), database)


def _rejection(error: CircuitOpenError) -> CircuitOpenConnectionError:
    return CircuitOpenConnectionError(*reasons_of(error))
