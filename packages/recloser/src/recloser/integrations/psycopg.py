"""A breaker around psycopg 3: `protected(psycopg.Connection, breaker)`, sync and async. Needs `recloser[psycopg]`.

Each connect and each `execute`, `executemany`, `copy` or `stream` is a call. It fails when the server cannot be
reached, drops the connection, is too slow or is in trouble; a constraint violation, an error in the SQL or an empty
result is an answer.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import psycopg

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Guard, judge_sqlstate
from recloser.outcomes import Outcome

__all__ = ["protected"]

C = TypeVar("C", bound="psycopg.Connection[Any] | psycopg.AsyncConnection[Any]")

_STATEMENTS = ("execute", "executemany")


def protected(connection_class: type[C], breaker: CircuitBreaker) -> type[C]:
    """A class of connections that ask the breaker first, for `.connect(...)` and for pools (`connection_class=...`).

    A statement of a plain or a server-side cursor is a call; fetching is not. A COPY and a `stream()` last until their
    end: the time until they have begun is what `slow_call_duration` is compared with, and leaving one early is ignored.
    The end of a transaction, by commit or by rollback, is never rejected. A `cursor_factory` of your own replaces the
    protected one.

    Args:
        connection_class: `psycopg.Connection`, `psycopg.AsyncConnection` or a subclass.
        breaker: Is asked before each connect and statement, which then raise `CircuitOpenError`.
    """
    guard = Guard(breaker, judge)
    is_async = issubclass(connection_class, psycopg.AsyncConnection)
    plain, server = (
        (psycopg.AsyncCursor, psycopg.AsyncServerCursor) if is_async else (psycopg.Cursor, psycopg.ServerCursor)
    )
    cursors = [_subclass(base, _protected_members(base, guard, is_async)) for base in (plain, server)]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        super(made, self).__init__(*args, **kwargs)
        self.cursor_factory, self.server_cursor_factory = cursors

    connecting = _connecting_async if is_async else _connecting_sync
    members = {"__init__": __init__, "connect": classmethod(connecting(connection_class, guard))}
    made = _subclass(connection_class, members)
    return made  # type: ignore[no-any-return]


def _subclass(base: type, members: dict[str, Any]) -> Any:
    return type(base)(f"Protected{base.__name__}", (base,), {"__module__": __name__, **members})


def _protected_members(cursor: Any, guard: Guard, is_async: bool) -> dict[str, Any]:
    wrap = _protected_async if is_async else _protected_sync
    members = {name: wrap(getattr(cursor, name), guard) for name in _STATEMENTS}
    copying = Guard(guard.breaker, judge_copy)
    members["copy"] = _copying_async(cursor.copy, copying) if is_async else _copying_sync(cursor.copy, copying)
    members["stream"] = _streaming_async(cursor.stream, guard) if is_async else _streaming_sync(cursor.stream, guard)
    return members


def _protected_sync(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    def protected_method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        with guard.statement(query):
            return method(self, query, *args, **kwargs)

    return protected_method


def _protected_async(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    async def protected_method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        with guard.statement(query):
            return await method(self, query, *args, **kwargs)

    return protected_method


def _copying_sync(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    @contextlib.contextmanager
    def copy(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with guard.call() as call, method(self, *args, **kwargs) as copying:
            call.answered()
            yield copying

    return copy


def _copying_async(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    @contextlib.asynccontextmanager
    async def copy(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with guard.call() as call:
            async with method(self, *args, **kwargs) as copying:
                call.answered()
                yield copying

    return copy


def _streaming_sync(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    def stream(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with guard.call() as call, contextlib.closing(method(self, *args, **kwargs)) as rows:
            for row in rows:
                call.answered()
                yield row

    return stream


def _streaming_async(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    async def stream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with guard.call() as call:
            async with contextlib.aclosing(method(self, *args, **kwargs)) as rows:
                async for row in rows:
                    call.answered()
                    yield row

    return stream


def _connecting_sync(connection_class: Any, guard: Guard) -> Callable[..., Any]:
    def connect(cls: Any, *args: Any, **kwargs: Any) -> Any:
        with guard.connecting():
            return connection_class.connect.__func__(cls, *args, **kwargs)

    return connect


def _connecting_async(connection_class: Any, guard: Guard) -> Callable[..., Any]:
    async def connect(cls: Any, *args: Any, **kwargs: Any) -> Any:
        with guard.connecting():
            return await connection_class.connect.__func__(cls, *args, **kwargs)

    return connect


def judge(exc: Exception) -> Outcome:
    """What an exception of psycopg says of the server."""
    sqlstate = getattr(exc, "sqlstate", None)
    if sqlstate is not None:
        return judge_sqlstate(sqlstate)
    # Without a code: libpq's own words on a connection that is lost or was never made. TimeoutError is an OSError.
    if isinstance(exc, psycopg.OperationalError | psycopg.InternalError | OSError):
        return Outcome.FAILURE
    return Outcome.IGNORED  # a value that cannot be adapted, a cursor that is closed: nothing was sent


def judge_copy(exc: Exception) -> Outcome:
    """The same within a COPY, where an OSError may be of the caller's own file."""
    return judge(exc) if isinstance(exc, psycopg.Error) else Outcome.IGNORED
