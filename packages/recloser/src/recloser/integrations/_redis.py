"""The one core under `redis.py` and `valkey.py`, whose clients are alike but for their names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Call, Guard, Judge
from recloser.outcomes import Outcome

C = TypeVar("C")

# Error replies of a server that is there and cannot serve, where the client has no class for them.
_OUTAGES = ("CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY")
_OUTAGE_CLASSES = ("BusyLoadingError", "ClusterDownError", "MasterDownError", "OutOfMemoryError", "ReadOnlyError")

# The pool of this process is used up: the server was not asked.
_LOCAL = ("No connection available.", "Too many connections")


def judge_with(exceptions: ModuleType) -> Judge:
    """What an exception says of the server, by the `exceptions` module of the client."""
    named = [getattr(exceptions, name) for name in _OUTAGE_CLASSES if hasattr(exceptions, name)]
    outages = (exceptions.ConnectionError, exceptions.TimeoutError, OSError, *named)

    def judge(exc: Exception) -> Outcome:
        if isinstance(exc, exceptions.ConnectionError) and str(exc) in _LOCAL:
            return Outcome.IGNORED
        if isinstance(exc, outages):
            return Outcome.FAILURE
        if isinstance(exc, exceptions.ResponseError | exceptions.WatchError):
            return Outcome.FAILURE if str(exc).startswith(_OUTAGES) else Outcome.SUCCESS
        return Outcome.IGNORED  # a value that cannot be sent, a wrong use of the client

    return judge


def protect(client: C, breaker: CircuitBreaker, judge: Judge) -> C:
    """Let every command and every pipeline of this client ask the breaker first."""
    guard = Guard(breaker, judge)
    target: Any = client
    target.execute_command = _protected(target.execute_command, guard)
    make = target.pipeline

    @functools.wraps(make)
    def pipeline(*args: Any, **kwargs: Any) -> Any:
        pipe = make(*args, **kwargs)
        _protect_pipeline(pipe, guard, judge)
        return pipe

    target.pipeline = pipeline
    return client


def _protect_pipeline(pipe: Any, guard: Guard, judge: Judge) -> None:
    running = _Running()
    pipe.execute = _protected_execute(pipe, guard, judge, running)
    # WATCH and what follows it up to MULTI are sent at once; `execute` may use the same way for what it needs itself.
    if hasattr(pipe, "immediate_execute_command"):
        pipe.immediate_execute_command = _protected(pipe.immediate_execute_command, guard, running)


class _Running:
    """Whether a pipeline is being executed: then its inner commands are part of that one call."""

    def __init__(self) -> None:
        self.now = False

    def __enter__(self) -> None:
        self.now = True

    def __exit__(self, *exc_info: object) -> None:
        self.now = False


def _protected(method: Callable[..., Any], guard: Guard, running: _Running | None = None) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def command_async(*args: Any, **kwargs: Any) -> Any:
            if running is not None and running.now:
                return await method(*args, **kwargs)
            with guard.call():
                return await method(*args, **kwargs)

        return command_async

    @functools.wraps(method)
    def command(*args: Any, **kwargs: Any) -> Any:
        if running is not None and running.now:
            return method(*args, **kwargs)
        with guard.call():
            return method(*args, **kwargs)

    return command


def _protected_execute(pipe: Any, guard: Guard, judge: Judge, running: _Running) -> Callable[..., Any]:
    method = pipe.execute
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def execute_async(*args: Any, **kwargs: Any) -> Any:
            if not len(pipe):  # nothing will be sent: that must not be a success of the server
                return await method(*args, **kwargs)
            with guard.call() as call, running:
                results = await method(*args, **kwargs)
                _note_outage(results, call, judge)
                return results

        return execute_async

    @functools.wraps(method)
    def execute(*args: Any, **kwargs: Any) -> Any:
        if not len(pipe):
            return method(*args, **kwargs)
        with guard.call() as call, running:
            results = method(*args, **kwargs)
            _note_outage(results, call, judge)
            return results

    return execute


def _note_outage(results: Any, call: Call, judge: Judge) -> None:
    # With `raise_on_error=False` the errors are among the results.
    for result in results:
        if isinstance(result, Exception) and judge(result) is Outcome.FAILURE:
            call.failed(result)
            return
