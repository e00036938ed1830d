"""The one core under `redis.py` and `valkey.py`, whose clients are alike but for their names."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any, TypeVar

from recloser.breaker import CircuitBreaker
from recloser.integrations._data import Call, Guard, Judge, Reading
from recloser.outcomes import Outcome

C = TypeVar("C")

# Error replies of a server that is there and cannot serve, where the client has no class for them.
_OUTAGES = ("CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY")
_OUTAGE_CLASSES = ("BusyLoadingError", "ClusterDownError", "MasterDownError", "OutOfMemoryError", "ReadOnlyError")

# The pool of this process is used up: the server was not asked.
_LOCAL = ("No connection available.", "Too many connections")

# Commands that are meant to wait, for others or for replicas, and streams read with BLOCK.
_WAITING = frozenset(
    {"BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN", "WAIT", "WAITAOF"}
)
_WAITING_WITH_BLOCK = frozenset({"XREAD", "XREADGROUP"})

# A connection that was lost is made again, and subscribed again, within what is being done with it: that is no call.
_in_pubsub = ContextVar("recloser_in_pubsub", default=False)


def judge_with(exceptions: ModuleType) -> Judge:
    """What an exception says of the server, by the `exceptions` module of the client."""
    named = [getattr(exceptions, name) for name in _OUTAGE_CLASSES if hasattr(exceptions, name)]
    outages = (exceptions.ConnectionError, exceptions.TimeoutError, OSError, *named)

    def judge(exc: Exception) -> Outcome:
        if isinstance(exc, exceptions.ConnectionError) and str(exc) in _LOCAL:
            return Outcome.IGNORED
        if isinstance(exc, outages):
            return Outcome.FAILURE
        if isinstance(exc, exceptions.WatchError) and isinstance(exc.__context__, outages):
            return Outcome.FAILURE  # the watch was lost because the connection was
        if isinstance(exc, exceptions.ResponseError | exceptions.WatchError):
            return Outcome.FAILURE if str(exc).startswith(_OUTAGES) else Outcome.SUCCESS
        return Outcome.IGNORED  # a value that cannot be sent, a wrong use of the client

    return judge


def protect(client: C, breaker: CircuitBreaker, judge: Judge) -> C:
    """Let every command, every pipeline and every subscription of this client ask the breaker first."""
    guard = Guard(breaker, judge)
    target: Any = client
    target.execute_command = _protected(target.execute_command, guard)
    target.pipeline = _making(target.pipeline, lambda pipe: _protect_pipeline(pipe, guard, judge))
    target.pubsub = _making(target.pubsub, lambda pubsub: _protect_pubsub(pubsub, guard))
    return client


def _making(make: Callable[..., Any], protect_made: Callable[[Any], None]) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        thing = make(*args, **kwargs)
        protect_made(thing)
        return thing

    return made


def _protect_pubsub(pubsub: Any, guard: Guard) -> None:
    # Subscribing asks; listening waits for others, and only a lost connection says something about the server.
    pubsub.execute_command = _within_pubsub(pubsub.execute_command, guard.call)
    pubsub.parse_response = _within_pubsub(pubsub.parse_response, guard.reading)


def _within_pubsub(method: Callable[..., Any], block: Callable[[], Call | Reading]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def protected_async(*args: Any, **kwargs: Any) -> Any:
            if _in_pubsub.get():
                return await method(*args, **kwargs)
            with block(), _entered(_in_pubsub):
                return await method(*args, **kwargs)

        return protected_async

    @functools.wraps(method)
    def protected(*args: Any, **kwargs: Any) -> Any:
        if _in_pubsub.get():
            return method(*args, **kwargs)
        with block(), _entered(_in_pubsub):
            return method(*args, **kwargs)

    return protected


@contextlib.contextmanager
def _entered(inside: ContextVar[bool]) -> Iterator[None]:
    token = inside.set(True)
    try:
        yield
    finally:
        inside.reset(token)


def _is_waiting(name: Any, arguments: tuple[Any, ...]) -> bool:
    command = _text(name)
    return command in _WAITING or (
        command in _WAITING_WITH_BLOCK and any(_text(argument) == "BLOCK" for argument in arguments)
    )


def _text(argument: Any) -> str:
    if isinstance(argument, bytes):
        return argument[:16].decode("ascii", "replace").upper()
    return argument.upper() if isinstance(argument, str) else ""


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
            with guard.call() as call:
                if args and _is_waiting(args[0], args[1:]):
                    call.answered()
                return await method(*args, **kwargs)

        return command_async

    @functools.wraps(method)
    def command(*args: Any, **kwargs: Any) -> Any:
        if running is not None and running.now:
            return method(*args, **kwargs)
        with guard.call() as call:
            if args and _is_waiting(args[0], args[1:]):
                call.answered()
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
