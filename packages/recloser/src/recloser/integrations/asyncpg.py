"""A breaker around asyncpg: `create_pool(dsn, breaker=...)` and `connect(dsn, breaker=...)`. Needs `recloser[asyncpg]`.

Each connect and each statement is a call. It is a failure when the server cannot be reached, drops the connection, is
too slow or is in trouble; a constraint violation, an error in the SQL or an empty result is an answer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from asyncpg.pool import Pool  # type: ignore[import-untyped]

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Guard, judge_sqlstate
from recloser.outcomes import Outcome

__all__ = ["connect", "create_pool", "protected"]

STATEMENTS = (
    "copy_from_query",
    "copy_from_table",
    "copy_records_to_table",
    "copy_to_table",
    "execute",
    "executemany",
    "fetch",
    "fetchmany",
    "fetchrow",
    "fetchval",
    "prepare",
)
"""Methods of connections that are calls."""


def create_pool(
    dsn: str | None = None,
    *,
    breaker: CircuitBreaker,
    connect: Callable[..., Any] = asyncpg.connect,
    connection_class: type[asyncpg.Connection] = asyncpg.Connection,
    **options: Any,
) -> Pool:
    """As `asyncpg.create_pool`; every connect and statement asks the breaker first.

    Waiting for a free connection of the pool does not count, and what the pool does to take one back is never
    rejected.

    Raises:
        CircuitOpenError: On `await` of the pool or use of a connection, when the call is rejected.
    """
    guard = Guard(breaker, judge)

    async def connecting(*args: Any, **kwargs: Any) -> Any:
        with guard.connecting():
            return await connect(*args, **kwargs)

    return asyncpg.create_pool(
        dsn, connect=connecting, connection_class=protected(connection_class, breaker), **options
    )


async def connect(
    dsn: str | None = None,
    *,
    breaker: CircuitBreaker,
    connection_class: type[asyncpg.Connection] = asyncpg.Connection,
    **options: Any,
) -> asyncpg.Connection:
    """As `asyncpg.connect`; the connect and every statement ask the breaker first.

    Raises:
        CircuitOpenError: The call is rejected.
    """
    with Guard(breaker, judge).connecting():
        return await asyncpg.connect(dsn, connection_class=protected(connection_class, breaker), **options)


def protected(connection_class: type[asyncpg.Connection], breaker: CircuitBreaker) -> type[asyncpg.Connection]:
    """A class of connections whose statements ask the breaker first, for `asyncpg.connect(connection_class=...)`.

    Statements of a prepared statement and of a cursor that is being read are not calls of their own. A rollback is
    never rejected: it would hide the error that it was made for.
    """
    guard = Guard(breaker, judge)
    methods = {
        name: _protected_method(getattr(connection_class, name), guard)
        for name in STATEMENTS
        if hasattr(connection_class, name)
    }
    metaclass: Any = type(connection_class)
    members = {"__slots__": (), "__module__": __name__, "recloser_protected": True, **methods}
    made: type[asyncpg.Connection] = metaclass(f"Protected{connection_class.__name__}", (connection_class,), members)
    return made


def _protected_method(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    async def protected_method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if is_cleaning_up(self, query):
            return await method(self, query, *args, **kwargs)
        with guard.call():
            return await method(self, query, *args, **kwargs)

    return protected_method


def is_protected(kind: type) -> bool:
    """Whether a class of connections comes from `protected`."""
    return hasattr(kind, "recloser_protected")


def is_cleaning_up(connection: Any, query: Any) -> bool:
    """Whether a statement takes a connection back, rather than asking for something: it is never rejected."""
    return isinstance(query, str) and (query.startswith("ROLLBACK") or query == connection.get_reset_query())


def judge(exc: Exception) -> Outcome:
    """What an exception of asyncpg says of the server."""
    sqlstate = getattr(exc, "sqlstate", None)
    if sqlstate is not None:
        return judge_sqlstate(sqlstate)
    if isinstance(exc, OSError | asyncpg.InternalClientError):  # TimeoutError is an OSError
        return Outcome.FAILURE
    return Outcome.IGNORED  # a value that cannot be encoded, a connection that is closed or busy: nothing was sent
