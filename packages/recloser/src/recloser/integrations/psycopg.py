"""A breaker around psycopg 3: `protected(psycopg.Connection, breaker)`, sync and async. Needs `recloser[psycopg]`.

Each connect and each `execute` or `executemany` is a call. It is a failure when the server cannot be reached, drops the
connection, is too slow or is in trouble; a constraint violation, an error in the SQL or an empty result is an answer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Guard, judge_sqlstate
from recloser.outcomes import Outcome

__all__ = ["protected"]

C = TypeVar("C", bound="psycopg.Connection[Any] | psycopg.AsyncConnection[Any]")

STATEMENTS = ("execute", "executemany")
"""Methods of cursors that are calls."""


def protected(connection_class: type[C], breaker: CircuitBreaker) -> type[C]:
    """A class of connections that ask the breaker first, for `.connect(...)` and for pools (`connection_class=...`).

    A statement of a plain or a server-side cursor is a call; fetching, COPY, `stream()`, commit and rollback are not.
    A `cursor_factory` of your own replaces the protected one.

    Args:
        connection_class: `psycopg.Connection`, `psycopg.AsyncConnection` or a subclass.
        breaker: Is asked before each connect and statement, which then raise `CircuitOpenError`.
    """
    guard = Guard(breaker, judge)
    is_async = issubclass(connection_class, psycopg.AsyncConnection)
    plain, server = (
        (psycopg.AsyncCursor, psycopg.AsyncServerCursor) if is_async else (psycopg.Cursor, psycopg.ServerCursor)
    )
    wrap = _protected_async if is_async else _protected_sync
    cursors = [_subclass(base, {name: wrap(getattr(base, name), guard) for name in STATEMENTS})
               for base in (plain, server)]  # fmt: skip

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


def _protected_sync(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    def protected_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        with guard.call():
            return method(self, *args, **kwargs)

    return protected_method


def _protected_async(method: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(method)
    async def protected_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        with guard.call():
            return await method(self, *args, **kwargs)

    return protected_method


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
