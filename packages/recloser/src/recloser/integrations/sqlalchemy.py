"""A breaker around a SQLAlchemy 2 engine, sync or async: `protect(engine, breaker)`. Needs `recloser[sqlalchemy]`.

Each connect, each pre-ping and each statement is a call. It is a failure when the server cannot be reached, drops the
connection, is too slow or is in trouble; a constraint violation, an error in the SQL or an empty result is an answer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncEngine

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Guard, judge_sqlstate
from recloser.outcomes import Outcome

__all__ = ["protect", "unprotect"]

E = TypeVar("E", Engine, AsyncEngine)

# Primary result codes of SQLite that are answers: SQLITE_ERROR (wrong SQL), TOOBIG, CONSTRAINT, MISMATCH, RANGE.
_SQLITE_ANSWERS = frozenset({1, 18, 19, 20, 25})


_METHODS = ("connect", "do_ping", "do_execute", "do_executemany", "do_execute_no_params")
"""What SQLAlchemy asks a dialect to do by way of the driver, after all listeners of events have had their turn."""


def protect(engine: E, breaker: CircuitBreaker) -> E:
    """Let every connect, pre-ping and statement of the engine ask the breaker first.

    A rejection raises `CircuitOpenError` from where SQLAlchemy would have raised its own error; rollback and return to
    the pool are never rejected. Waiting for a free connection of the pool does not count, nor does a `creator` of
    your own: give `create_engine(creator=breaker(creator))`. Rules of the breaker's settings see the driver's
    exception. Listeners of events, `do_connect` among them, are called as before.

    Returns:
        The same engine.

    Raises:
        ValueError: It is protected already.
    """
    dialect = dialect_of(engine)
    if is_protected(dialect):
        raise ValueError(f"{engine!r} is protected already")
    guard = Guard(breaker, lambda exc: judge(dialect, exc))
    marked: Any = dialect
    marked.recloser_wrappers = wrap(dialect, lambda connecting: guard.connecting() if connecting else guard.call())
    return engine


def unprotect(engine: E) -> E:
    """Undo `protect`: calls that begin from now on ask no breaker.

    Returns:
        The same engine.

    Raises:
        ValueError: It is not protected.
    """
    dialect = dialect_of(engine)
    if not is_protected(dialect):
        raise ValueError(f"{engine!r} is not protected")
    unwrap(dialect, vars(dialect).pop("recloser_wrappers"))
    return engine


def dialect_of(engine: Engine | AsyncEngine) -> Dialect:
    """The dialect of an engine, which no other engine has but those that share its pool."""
    return (engine.sync_engine if isinstance(engine, AsyncEngine) else engine).dialect


def is_protected(dialect: Dialect) -> bool:
    """Whether `protect` has been called for it."""
    return "recloser_wrappers" in vars(dialect)


def wrap(dialect: Dialect, block: Callable[[bool], AbstractContextManager[object] | None]) -> dict[str, Any]:
    """Let what a dialect does by way of the driver happen in blocks.

    Args:
        dialect: Its methods are replaced.
        block: Makes the block of one call, given whether it connects; None for a call that needs none.

    Returns:
        The replacements by name, for `unwrap`.
    """
    wrappers = {name: _within(getattr(dialect, name), block, name == "connect") for name in _METHODS}
    for name, wrapper in wrappers.items():
        setattr(dialect, name, wrapper)
    return wrappers


def unwrap(dialect: Dialect, wrappers: dict[str, Any]) -> None:
    """Take back what `wrap` has put in place."""
    for name, wrapper in wrappers.items():
        if name in vars(dialect) and vars(dialect)[name] is wrapper:
            original: Any = wrapper.__wrapped__
            if getattr(original, "__func__", None) is getattr(type(dialect), name):
                delattr(dialect, name)
            else:
                setattr(dialect, name, original)


def _within(
    method: Callable[..., Any], block: Callable[[bool], AbstractContextManager[object] | None], connecting: bool
) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        protection = block(connecting)
        if protection is None:
            return method(*args, **kwargs)
        with protection:
            return method(*args, **kwargs)

    return wrapper


def judge(dialect: Dialect, exc: Exception) -> Outcome:
    """What an exception of the driver says of the server."""
    sqlstate = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
    if sqlstate is not None:
        return judge_sqlstate(str(sqlstate))
    if isinstance(exc, OSError):  # TimeoutError is one
        return Outcome.FAILURE
    code = getattr(exc, "sqlite_errorcode", None)
    if code is not None:
        return Outcome.SUCCESS if code & 0xFF in _SQLITE_ANSWERS else Outcome.FAILURE
    return _judge_by_kind(dialect, exc)


def _judge_by_kind(dialect: Dialect, exc: Exception) -> Outcome:
    driver: Any = dialect.loaded_dbapi
    if not isinstance(exc, driver.Error):
        return Outcome.IGNORED  # a value that the driver cannot send, for example
    if isinstance(exc, driver.OperationalError | driver.InternalError) or dialect.is_disconnect(exc, None, None):
        return Outcome.FAILURE
    return Outcome.IGNORED if isinstance(exc, driver.InterfaceError) else Outcome.SUCCESS
