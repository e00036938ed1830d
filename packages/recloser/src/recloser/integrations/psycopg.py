"""A breaker around psycopg 3: `protected(psycopg.Connection, breaker)`, sync and async. Needs `recloser[psycopg]`.

Each connect and each `execute`, `executemany`, `copy` or `stream` is a call. It fails when the server cannot be
reached, drops the connection, is too slow or is in trouble; a constraint violation, an error in the SQL or an empty
result is an answer.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import psycopg

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Guard, judge_sqlstate
from recloser.outcomes import Outcome

__all__ = ["protected"]

C = TypeVar("C", bound="psycopg.Connection[Any] | psycopg.AsyncConnection[Any]")


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
    cursors = [_subclass(base, guarded_methods(base, lambda cursor: guard)) for base in (plain, server)]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        super(made, self).__init__(*args, **kwargs)
        self.cursor_factory, self.server_cursor_factory = cursors

    connecting = _connecting_async if is_async else _connecting_sync
    members = {"__init__": __init__, "connect": classmethod(connecting(connection_class, guard))}
    made = _subclass(connection_class, members)
    return made  # type: ignore[no-any-return]


def _subclass(base: type, members: dict[str, Any]) -> Any:
    marked = {"__module__": __name__, "recloser_protected": True, **members}
    return type(base)(f"Protected{base.__name__}", (base,), marked)


def is_protected(kind: type) -> bool:
    """Whether a class of connections or cursors comes from `protected`."""
    return hasattr(kind, "recloser_protected")


Find: TypeAlias = Callable[[Any], Guard | None]
"""Finds what protects a call of a cursor; None when nothing does."""


def guarded_methods(cursor: type[Any], find: Find) -> dict[str, Callable[..., Any]]:
    """The methods of a class of cursors that are calls, sync or async, as calls that ask first."""
    wrappers = _ASYNC if issubclass(cursor, psycopg.AsyncCursor) else _SYNC
    return {name: wrap(getattr(cursor, name), find) for name, wrap in wrappers.items()}


def _protected_sync(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    @functools.wraps(method)
    def protected_method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        guard = find(self)
        if guard is None:
            return method(self, query, *args, **kwargs)
        with guard.statement(query):
            return method(self, query, *args, **kwargs)

    return protected_method


def _protected_async(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    @functools.wraps(method)
    async def protected_method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        guard = find(self)
        if guard is None:
            return await method(self, query, *args, **kwargs)
        with guard.statement(query):
            return await method(self, query, *args, **kwargs)

    return protected_method


def _lasting(
    method: Callable[..., Any], find: Find, during: Callable[[Guard, Callable[[], Any]], Any]
) -> Callable[..., Any]:
    # A call that lasts until the end of what it returns.
    @functools.wraps(method)
    def protected_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        guard = find(self)
        if guard is None:
            return method(self, *args, **kwargs)
        return during(guard, functools.partial(method, self, *args, **kwargs))

    return protected_method


@contextlib.contextmanager
def _copying_sync(guard: Guard, copy: Callable[[], Any]) -> Iterator[Any]:
    with guard.judged_by(judge_copy).call() as call, copy() as copying:
        call.answered()
        yield copying


@contextlib.asynccontextmanager
async def _copying_async(guard: Guard, copy: Callable[[], Any]) -> AsyncIterator[Any]:
    with guard.judged_by(judge_copy).call() as call:
        async with copy() as copying:
            call.answered()
            yield copying


def _streaming_sync(guard: Guard, stream: Callable[[], Any]) -> Iterator[Any]:
    with guard.call() as call, contextlib.closing(stream()) as rows:
        for row in rows:
            call.answered()
            yield row


async def _streaming_async(guard: Guard, stream: Callable[[], Any]) -> AsyncIterator[Any]:
    with guard.call() as call:
        async with contextlib.aclosing(stream()) as rows:
            async for row in rows:
                call.answered()
                yield row


_Wrap: TypeAlias = Callable[[Callable[..., Any], Find], Callable[..., Any]]

_SYNC: dict[str, _Wrap] = {
    "execute": _protected_sync,
    "executemany": _protected_sync,
    "copy": functools.partial(_lasting, during=_copying_sync),
    "stream": functools.partial(_lasting, during=_streaming_sync),
}
_ASYNC: dict[str, _Wrap] = {
    "execute": _protected_async,
    "executemany": _protected_async,
    "copy": functools.partial(_lasting, during=_copying_async),
    "stream": functools.partial(_lasting, during=_streaming_async),
}


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
