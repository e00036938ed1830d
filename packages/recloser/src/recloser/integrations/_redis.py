"""The one core under `redis.py` and `valkey.py`, whose clients are alike but for their names."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

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
    """Let every command, every pipeline and every subscription of this client ask the breaker first.

    Raises:
        ValueError: It is protected already.
    """
    target: Any = client
    if is_protected(target):
        raise ValueError(f"{client!r} is protected already")
    guard = Guard(breaker, judge)
    _put(
        target,
        execute_command=guarded_command(target.execute_command, lambda args: guard),
        pipeline=_making(target.pipeline, lambda pipe: _protect_pipeline(pipe, guard, judge)),
        pubsub=_making(target.pubsub, lambda pubsub: _protect_pubsub(pubsub, guard)),
    )
    return client


def unprotect(client: C) -> C:
    """Undo `protect`; pipelines and subscriptions that exist stay protected.

    Raises:
        ValueError: It is not protected.
    """
    target: Any = client
    if not is_protected(target):
        raise ValueError(f"{client!r} is not protected")
    for name, before in vars(target).pop("recloser_protected").items():
        if before is None:
            delattr(target, name)
        else:
            setattr(target, name, before)
    return client


def is_protected(target: Any) -> bool:
    """Whether a client, or a pipeline or subscription of one, is protected by `protect`."""
    return "recloser_protected" in vars(target)


def _making(make: Callable[..., Any], protect_made: Callable[[Any], None]) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        thing = make(*args, **kwargs)
        protect_made(thing)
        return thing

    return made


def _protect_pubsub(pubsub: Any, guard: Guard) -> None:
    _put(
        pubsub,
        execute_command=guarded_subscribing(pubsub.execute_command, lambda args: guard),
        parse_response=guarded_listening(pubsub.parse_response, lambda args: guard),
    )


Find: TypeAlias = Callable[[tuple[Any, ...]], Guard | None]
"""Finds what protects a call, by its positional arguments; None when nothing does."""


def guarded_subscribing(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    """A method of a subscription that sends something, as a call that asks first."""
    return _within_pubsub(method, find, Guard.call)


def guarded_listening(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    """A method of a subscription that waits for others: only a lost connection says something about the server."""
    return _within_pubsub(method, find, Guard.reading)


def _within_pubsub(
    method: Callable[..., Any], find: Find, block: Callable[[Guard], Call | Reading]
) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def protected_async(*args: Any, **kwargs: Any) -> Any:
            guard = None if _in_pubsub.get() else find(args)
            if guard is None:
                return await method(*args, **kwargs)
            with block(guard), _entered(_in_pubsub):
                return await method(*args, **kwargs)

        return protected_async

    @functools.wraps(method)
    def protected(*args: Any, **kwargs: Any) -> Any:
        guard = None if _in_pubsub.get() else find(args)
        if guard is None:
            return method(*args, **kwargs)
        with block(guard), _entered(_in_pubsub):
            return method(*args, **kwargs)

    return protected


@contextlib.contextmanager
def _entered(inside: ContextVar[bool]) -> Iterator[None]:
    token = inside.set(True)
    try:
        yield
    finally:
        inside.reset(token)


def _is_waiting(command: tuple[Any, ...]) -> bool:
    name, *arguments = command or ("",)
    text = _text(name)
    return text in _WAITING or (
        text in _WAITING_WITH_BLOCK and any(_text(argument) == "BLOCK" for argument in arguments)
    )


def _text(argument: Any) -> str:
    if isinstance(argument, bytes):
        return argument[:16].decode("ascii", "replace").upper()
    return argument.upper() if isinstance(argument, str) else ""


def _protect_pipeline(pipe: Any, guard: Guard, judge: Judge) -> None:
    methods = {"execute": guarded_execute(pipe.execute, lambda args: guard, judge)}
    # WATCH and what follows it up to MULTI are sent at once; `execute` may use the same way for what it needs itself.
    if hasattr(pipe, "immediate_execute_command"):
        immediate = guarded_command(pipe.immediate_execute_command, lambda args: None if is_executing(pipe) else guard)
        methods["immediate_execute_command"] = immediate
    _put(pipe, **methods)


def _put(target: Any, **methods: Any) -> None:
    target.recloser_protected = {name: vars(target).get(name) for name in methods}
    for name, method in methods.items():
        setattr(target, name, method)


def is_executing(pipe: Any) -> bool:
    """Whether a pipeline is being executed: then its inner commands are part of that one call."""
    return getattr(pipe, "recloser_executing", False)


class _Executing:
    """A block in which a pipeline is being executed."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __enter__(self) -> None:
        self._pipe.recloser_executing = True

    def __exit__(self, *exc_info: object) -> None:
        self._pipe.recloser_executing = False


def guarded_command(method: Callable[..., Any], find: Find) -> Callable[..., Any]:
    """A method that sends one command, as a call that asks first."""
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def command_async(*args: Any, **kwargs: Any) -> Any:
            guard = find(args)
            if guard is None:
                return await method(*args, **kwargs)
            with guard.call() as call:
                if _is_waiting(_command_of(method, args)):
                    call.answered()
                return await method(*args, **kwargs)

        return command_async

    @functools.wraps(method)
    def command(*args: Any, **kwargs: Any) -> Any:
        guard = find(args)
        if guard is None:
            return method(*args, **kwargs)
        with guard.call() as call:
            if _is_waiting(_command_of(method, args)):
                call.answered()
            return method(*args, **kwargs)

    return command


def guarded_execute(method: Callable[..., Any], find: Find, judge: Judge) -> Callable[..., Any]:
    """The method that sends a pipeline, as one call that asks first."""

    # Without a command nothing will be sent: that must not be a success of the server.
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def execute_async(*args: Any, **kwargs: Any) -> Any:
            pipe = _pipe_of(method, args)
            guard = find(args) if len(pipe) else None
            if guard is None:
                return await method(*args, **kwargs)
            with guard.call() as call, _Executing(pipe):
                results = await method(*args, **kwargs)
                _note_outage(results, call, judge)
                return results

        return execute_async

    @functools.wraps(method)
    def execute(*args: Any, **kwargs: Any) -> Any:
        pipe = _pipe_of(method, args)
        guard = find(args) if len(pipe) else None
        if guard is None:
            return method(*args, **kwargs)
        with guard.call() as call, _Executing(pipe):
            results = method(*args, **kwargs)
            _note_outage(results, call, judge)
            return results

    return execute


def _pipe_of(method: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    bound = getattr(method, "__self__", None)
    return args[0] if bound is None else bound


def _command_of(method: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    return args if hasattr(method, "__self__") else args[1:]


def _note_outage(results: Any, call: Call, judge: Judge) -> None:
    # With `raise_on_error=False` the errors are among the results.
    for result in results:
        if isinstance(result, Exception) and judge(result) is Outcome.FAILURE:
            call.failed(result)
            return
