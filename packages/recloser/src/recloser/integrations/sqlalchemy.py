"""A breaker around a SQLAlchemy 2 engine, sync or async: `protect(engine, breaker)`. Needs `recloser[sqlalchemy]`.

Each connect, each pre-ping and each statement is a call. It is a failure when the server cannot be reached, drops the
connection, is too slow or is in trouble; a constraint violation, an error in the SQL or an empty result is an answer.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Guard, judge_sqlstate
from recloser.outcomes import Outcome

__all__ = ["protect"]

E = TypeVar("E", Engine, AsyncEngine)

# Primary result codes of SQLite that are answers: SQLITE_ERROR (wrong SQL), TOOBIG, CONSTRAINT, MISMATCH, RANGE.
_SQLITE_ANSWERS = frozenset({1, 18, 19, 20, 25})


def protect(engine: E, breaker: CircuitBreaker) -> E:
    """Let every connect, pre-ping and statement of the engine ask the breaker first.

    A rejection raises `CircuitOpenError` from where SQLAlchemy would have raised its own error. The end of a
    transaction, by commit or rollback, and reading on from a result are never rejected; they count only when the server
    fails at a commit or while a result is read. Waiting for a free connection of the pool does not count, nor does a
    `creator` of your own: give `create_engine(creator=breaker(creator))`. Rules of the breaker's settings see the
    driver's exception. Protect an engine once, before its first use and after adding other listeners.

    Returns:
        The same engine.
    """
    sync = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    dialect = sync.dialect
    guard = Guard(breaker, lambda exc: judge(dialect, exc))
    _protect_connecting(sync, guard)
    _protect_statements(sync, guard)
    _protect_ping(dialect, guard)
    _note_failing_commits(dialect, guard)
    _note_failing_results(sync, guard)
    return engine


def _protect_connecting(engine: Engine, guard: Guard) -> None:
    @event.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, record: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        with guard.connecting():
            return dialect.connect(*args, **kwargs)


def _protect_statements(engine: Engine, guard: Guard) -> None:
    # A listener that returns True has executed the statement itself.

    @event.listens_for(engine, "do_execute")
    def execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        with guard.statement(statement):
            engine.dialect.do_execute(cursor, statement, parameters, context)
        return True

    @event.listens_for(engine, "do_executemany")
    def executemany(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        with guard.statement(statement):
            engine.dialect.do_executemany(cursor, statement, parameters, context)
        return True

    @event.listens_for(engine, "do_execute_no_params")
    def execute_no_params(cursor: Any, statement: str, context: Any) -> bool:
        with guard.statement(statement):
            engine.dialect.do_execute_no_params(cursor, statement, context)
        return True


def _protect_ping(dialect: Dialect, guard: Guard) -> None:
    # There is no event around the ping of `pool_pre_ping`, which would hang on a frozen server for every caller.
    ping = dialect.do_ping

    def do_ping(connection: Any) -> bool:
        with guard.call():
            return ping(connection)

    dialect.do_ping = do_ping  # type: ignore[assignment]


def _note_failing_commits(dialect: Dialect, guard: Guard) -> None:
    commit = dialect.do_commit

    def do_commit(connection: Any) -> None:
        with guard.reading():
            commit(connection)

    dialect.do_commit = do_commit  # type: ignore[assignment]


def _note_failing_results(engine: Engine, guard: Guard) -> None:
    # The rows of a result have no event around them, but one for their errors: without a statement.
    # A rollback that fails is not counted: what it was made for has been.
    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        reading = context.execution_context is not None and context.statement is None
        if reading and isinstance(context.original_exception, Exception):
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
