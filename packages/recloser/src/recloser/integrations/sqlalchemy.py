"""A breaker around a SQLAlchemy 2 engine, sync or async: `protect(engine, breaker)`. Needs `recloser[sqlalchemy]`.

Each connect, each pre-ping and each statement is a call. It is a failure when the server cannot be reached, drops the
connection, is too slow or is in trouble; a constraint violation, an error in the SQL or an empty result is an answer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Guard, judge_sqlstate
from recloser.outcomes import Outcome

__all__ = ["protect", "unprotect"]

E = TypeVar("E", Engine, AsyncEngine)

# Primary result codes of SQLite that are answers: SQLITE_ERROR (wrong SQL), TOOBIG, CONSTRAINT, MISMATCH, RANGE.
_SQLITE_ANSWERS = frozenset({1, 18, 19, 20, 25})

# What SQLAlchemy asks a dialect to do by way of the driver, after all listeners of events have had their turn.
_METHODS = ("connect", "do_ping", "do_execute", "do_executemany", "do_execute_no_params", "do_commit",
            "do_rollback")  # fmt: skip


def protect(engine: E, breaker: CircuitBreaker) -> E:
    """Let every connect, pre-ping and statement of the engine ask the breaker first.

    A rejection raises `CircuitOpenError` from where SQLAlchemy would have raised its own error. The end of a
    transaction, by commit or rollback, and reading on from a result are never rejected; they count only when the server
    fails at a commit or while a result is read. Waiting for a free connection of the pool does not count, nor does a
    `creator` of your own: give `create_engine(creator=breaker(creator))`. Rules of the breaker's settings see the
    driver's exception. Listeners of events, `do_connect` among them, are called as before.

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
    block = functools.partial(block_of, guard)
    marked.recloser_protection = Protection(dialect, block, lambda: guard)
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
    vars(dialect).pop("recloser_protection").undo()
    return engine


def dialect_of(engine: Engine | AsyncEngine) -> Dialect:
    """The dialect of an engine, which no other engine has but those that share its pool."""
    return (engine.sync_engine if isinstance(engine, AsyncEngine) else engine).dialect


def is_protected(dialect: Dialect) -> bool:
    """Whether `protect` has been called for it."""
    return "recloser_protection" in vars(dialect)


Block: TypeAlias = Callable[[str, tuple[Any, ...]], AbstractContextManager[object] | None]
"""Makes the block of one call, by the method of the dialect and its arguments; None for a call that needs none."""


def block_of(guard: Guard, method: str, arguments: tuple[Any, ...]) -> AbstractContextManager[object]:
    """The block of one call of a dialect's method.

    Raises:
        CircuitOpenError: Of connecting, when the call is rejected; others raise it on entering.
    """
    if method == "connect":
        return guard.connecting()
    if method == "do_commit":
        return guard.reading()
    if method == "do_rollback":
        return nullcontext()  # what it was made for has been counted
    return guard.call() if method == "do_ping" else guard.statement(arguments[1])


class Protection:
    """What has been put around a dialect, so that it can be taken away again.

    Args:
        dialect: Its methods are replaced, and the errors of its engines listened to.
        block: Is asked for a block around each call.
        find: What counts the failures of results that are being read; None when nothing does.
    """

    def __init__(self, dialect: Dialect, block: Block, find: Callable[[], Guard | None]) -> None:
        self._dialect = dialect
        self._block: Block | None = block
        self._find = find
        self._wrappers = {name: self._within(getattr(dialect, name), name) for name in _METHODS}
        for name, wrapper in self._wrappers.items():
            setattr(dialect, name, wrapper)
        event.listen(dialect, "handle_error", self._failed)

    def undo(self) -> None:
        """Give the dialect its own methods back. Where somebody has put more around them since, nothing is asked."""
        self._block = None
        event.remove(self._dialect, "handle_error", self._failed)
        for name, wrapper in self._wrappers.items():
            if vars(self._dialect).get(name) is wrapper:
                original: Any = wrapper.__wrapped__
                if getattr(original, "__func__", None) is getattr(type(self._dialect), name):
                    delattr(self._dialect, name)
                else:
                    setattr(self._dialect, name, original)

    def _within(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            block = None if self._block is None else self._block(name, args)
            if block is None:
                return method(*args, **kwargs)
            with block:
                return method(*args, **kwargs)

        return wrapper

    def _failed(self, context: ExceptionContext) -> None:
        # The rows of a result have no method of the dialect, but an event for their errors: without a statement.
        reading = context.execution_context is not None and context.statement is None
        if reading and isinstance(context.original_exception, Exception):
            guard = self._find()
            if guard is not None:
                guard.note(context.original_exception)


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
