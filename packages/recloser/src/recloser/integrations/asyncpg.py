"""A breaker around asyncpg: `create_pool(dsn, breaker=...)` and `connect(dsn, breaker=...)`. Needs `recloser[asyncpg]`.

Each connect and each statement is a call, those of prepared statements and the opening of a cursor included. It fails
when the server cannot be reached, drops the connection, is too slow or is in trouble; a constraint violation, an error
in the SQL or an empty result is an answer.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]
from asyncpg.pool import Pool  # type: ignore[import-untyped]
from asyncpg.prepared_stmt import PreparedStatement  # type: ignore[import-untyped]

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
)
"""Methods of connections that are calls."""
PREPARED_STATEMENTS = ("executemany", "fetch", "fetchmany", "fetchrow", "fetchval")
"""Methods of prepared statements that are calls."""


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

    Reading on from a cursor is never rejected; a failure of it counts. Nor is the end of a transaction ever rejected,
    by commit or by rollback: it would hide the error that it was made for.
    """
    guard = Guard(breaker, judge)

    def find(caller: Any) -> Guard:
        return guard

    methods = {
        name: guarded_statement(getattr(connection_class, name), find)
        for name in STATEMENTS
        if hasattr(connection_class, name)
    }
    methods["prepare"] = _protected_prepare(connection_class.prepare, find)
    methods["cursor"] = guarded_cursor(connection_class.cursor, find)
    made: type[asyncpg.Connection] = _subclass(connection_class, methods)
    return made


def _subclass(base: Any, members: dict[str, Any]) -> Any:
    members = {"__slots__": (), "__module__": __name__, "recloser_protected": True, **members}
    return type(base)(f"Protected{base.__name__}", (base,), members)


def is_protected(kind: type) -> bool:
    """Whether a class of connections or prepared statements comes from `protected`."""
    return hasattr(kind, "recloser_protected")


Find: TypeAlias = Callable[[Any], Guard | None]
"""Finds what protects a call, by the connection or prepared statement it is made on; None when nothing does."""


def guarded_statement(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    """A method of connections that executes a statement, as a call that asks first."""

    @functools.wraps(method)
    async def statement(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        # What the pool does to take a connection back is no call.
        guard = None if query == self.get_reset_query() else find(self)
        if guard is None:
            return await method(self, query, *args, **kwargs)
        with guard.statement(query):
            return await method(self, query, *args, **kwargs)

    return statement


def _protected_prepare(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    members = {name: guarded_method(getattr(PreparedStatement, name), find) for name in PREPARED_STATEMENTS}
    members["cursor"] = guarded_cursor(PreparedStatement.cursor, find)
    kind = _subclass(PreparedStatement, members)
    guarded = guarded_method(method, find)

    @functools.wraps(method)
    async def prepare(self: Any, *args: Any, **kwargs: Any) -> Any:
        prepared = await guarded(self, *args, **kwargs)
        if type(prepared) is PreparedStatement:
            prepared.__class__ = kind
        return prepared

    return prepare


def guarded_method(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    """A method whose every use is a call that asks first."""

    @functools.wraps(method)
    async def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        guard = find(self)
        if guard is None:
            return await method(self, *args, **kwargs)
        with guard.call():
            return await method(self, *args, **kwargs)

    return guarded


def guarded_cursor(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    """A method that makes a cursor, whose opening asks first."""

    @functools.wraps(method)
    def cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
        guard = find(self)
        factory = method(self, *args, **kwargs)
        return factory if guard is None else _CursorFactory(factory, guard)

    return cursor


class _CursorFactory:
    """What asyncpg's factory is: awaited it opens a cursor, iterated it goes through the rows of one."""

    def __init__(self, factory: Any, guard: Guard) -> None:
        self._factory = factory
        self._guard = guard

    def __await__(self) -> Generator[Any, None, _Cursor]:
        return self._open().__await__()

    async def _open(self) -> _Cursor:
        with self._guard.call():
            return _Cursor(await self._factory, self._guard)

    async def __aiter__(self) -> AsyncIterator[Any]:
        end = object()
        rows = aiter(self._factory)
        with self._guard.call():
            row = await anext(rows, end)
        while row is not end:
            yield row
            with self._guard.reading():
                row = await anext(rows, end)


class _Cursor:
    """An open cursor."""

    def __init__(self, cursor: Any, guard: Guard) -> None:
        self._cursor = cursor
        self._guard = guard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    async def fetch(self, *args: Any, **kwargs: Any) -> Any:
        with self._guard.reading():
            return await self._cursor.fetch(*args, **kwargs)

    async def fetchrow(self, *args: Any, **kwargs: Any) -> Any:
        with self._guard.reading():
            return await self._cursor.fetchrow(*args, **kwargs)

    async def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self._guard.reading():
            return await self._cursor.forward(*args, **kwargs)


def judge(exc: Exception) -> Outcome:
    """What an exception of asyncpg says of the server."""
    sqlstate = getattr(exc, "sqlstate", None)
    if sqlstate is not None:
        return judge_sqlstate(sqlstate)
    if isinstance(exc, OSError | asyncpg.InternalClientError):  # TimeoutError is an OSError
        return Outcome.FAILURE
    return Outcome.IGNORED  # a value that cannot be encoded, a connection that is closed or busy: nothing was sent
