"""Run one protected call and settle it: function, coroutine, generator, async generator.

Each protected form is of the same kind as what it protects, so that `inspect` and frameworks see no difference.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from enum import Enum, auto
from types import FunctionType, MethodType
from typing import Any

from recloser.controller import Controller
from recloser.errors import CircuitOpenError
from recloser.kernel import compiled
from recloser.outcomes import classify_exception
from recloser.permits import Permit, hot_permit, take_permit
from recloser.tickets import hot_ticket

_PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict, set})
"""Types known to be no awaitables: `hasattr` takes long to say no."""

_SPECIAL = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Kind(Enum):
    """What calling something gives."""

    FUNCTION = auto()
    COROUTINE = auto()
    GENERATOR = auto()
    ASYNC_GENERATOR = auto()


def kind_of(fn: Callable[..., Any]) -> Kind:
    """What calling `fn` gives, seen through `functools.partial`, methods and callable objects.

    Raises:
        TypeError: `fn` cannot be called. A coroutine object is closed, so that it is not reported as never awaited.
    """
    while isinstance(fn, functools.partial):
        fn = fn.func
    if type(fn) is FunctionType and not fn.__code__.co_flags & _SPECIAL and not fn.__dict__:
        return Kind.FUNCTION  # the most frequent case, told without inspect; a mark of another kind is an attribute
    if not callable(fn):
        if inspect.iscoroutine(fn):
            fn.close()
            raise TypeError("got a coroutine object: pass the coroutine function and its arguments, without calling it")
        raise TypeError(f"{fn!r} cannot be called: pass a function and its arguments")
    candidates = [fn]
    if not inspect.isroutine(fn) and not inspect.isclass(fn):
        candidates.append(type(fn).__call__)
    for candidate in candidates:
        if inspect.isasyncgenfunction(candidate):
            return Kind.ASYNC_GENERATOR
        if inspect.iscoroutinefunction(candidate):
            return Kind.COROUTINE
        if inspect.isgeneratorfunction(candidate):
            return Kind.GENERATOR
    return Kind.FUNCTION


def protect(controller: Controller, fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the same kind as `fn`, with its name, signature and documentation, that asks the breaker first.

    Raises:
        TypeError: `fn` cannot be called.
    """
    if isinstance(fn, staticmethod | classmethod):
        return type(fn)(protect(controller, fn.__func__))
    return functools.update_wrapper(bare(controller, fn), fn)


def bare(controller: Controller, fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same without the metadata: what a single call needs.

    Raises:
        TypeError: `fn` cannot be called.
    """
    return _PROTECTORS[kind_of(fn)](controller, fn)


def _function(controller: Controller, fn: Callable[..., Any]) -> Callable[..., Any]:
    leave, now, kernel = controller.leave, controller.now, controller.kernel
    enter = kernel.hot_calls.append

    def protected(*args: Any, **kwargs: Any) -> Any:
        generation = kernel.hot_generation
        if generation < 0:
            return _call(take_permit(controller), fn, args, kwargs)
        enter(None)
        started = now()
        try:
            result = fn(*args, **kwargs)
        except BaseException as exc:
            hot_permit(controller, generation, started).settle(exc)
            raise
        if kernel.judges_results or (type(result) not in _PLAIN and hasattr(type(result), "__await__")):
            return _returned(hot_permit(controller, generation, started), result)
        leave(generation, started)
        return result

    return protected


def _call(permit: Permit, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        result = fn(*args, **kwargs)
    except BaseException as exc:
        permit.settle(exc)
        raise
    return _returned(permit, result)


def _returned(permit: Permit, result: Any) -> Any:
    # A lambda or partial may return an awaitable: then the call ends when that does.
    if hasattr(type(result), "__await__"):
        return _finish(permit, result)
    permit.settle(None, result)
    return result


async def _finish(permit: Permit, pending: Awaitable[Any]) -> Any:
    try:
        result = await pending
    except BaseException as exc:
        permit.settle(exc)
        raise
    permit.settle(None, result)
    return result


def _coroutine(controller: Controller, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    leave, now, kernel = controller.leave, controller.now, controller.kernel
    enter = kernel.hot_calls.append

    async def protected(*args: Any, **kwargs: Any) -> Any:
        generation = kernel.hot_generation
        if generation < 0:
            return await _call_async(take_permit(controller), fn, args, kwargs)
        enter(None)
        started = now()
        try:
            result = await fn(*args, **kwargs)
        except BaseException as exc:
            hot_permit(controller, generation, started).settle(exc)
            raise
        if kernel.judges_results:
            hot_permit(controller, generation, started).settle(None, result)
        else:
            leave(generation, started)
        return result

    return protected


async def _call_async(
    permit: Permit, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        result = await fn(*args, **kwargs)
    except BaseException as exc:
        permit.settle(exc)
        raise
    permit.settle(None, result)
    return result


def _generator(controller: Controller, fn: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
    def protected(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        permit = take_permit(controller)
        try:
            result = yield from _marking_first_item(permit, fn(*args, **kwargs))
        except BaseException as exc:
            permit.settle(exc)
            raise
        permit.settle(None, result)
        return result

    return protected


def _marking_first_item(permit: Permit, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    # PEP 380's `yield from`, with a mark after the first item.
    try:
        item = next(inner)
        permit.mark_first_item()
        while True:
            try:
                sent = yield item
            except GeneratorExit as exc:
                # From 3.13 on close() gives what the generator returned; the call was cut short all the same.
                last_word = inner.close()  # type: ignore[func-returns-value]
                if last_word is None:
                    raise
                permit.settle(exc)
                return last_word
            except BaseException as exc:  # noqa: BLE001 - passed on into the generator
                item = inner.throw(exc)
            else:
                item = inner.send(sent)
    except StopIteration as stop:
        return stop.value


def _async_generator(controller: Controller, fn: Callable[..., AsyncGenerator[Any, Any]]) -> Callable[..., Any]:
    async def protected(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        permit = take_permit(controller)
        try:
            inner = fn(*args, **kwargs)
            try:
                item = await _first_step(inner)
                permit.mark_first_item()
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        await inner.aclose()
                        raise
                    except BaseException as exc:  # noqa: BLE001 - passed on into the generator
                        item = await inner.athrow(exc)
                    else:
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                pass
        except BaseException as exc:
            permit.settle(exc)
            raise
        permit.settle()

    return protected


def _first_step(inner: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    # It is here that an async generator tells the event loop of itself. The loop must know of ours only: at its end it
    # would close both, and who comes second finds the other at work.
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return anext(inner)
    finally:
        sys.set_asyncgen_hooks(*hooks)


_Protector = Callable[[Controller, Callable[..., Any]], Callable[..., Any]]
_PROTECTORS: dict[Kind, _Protector] = {
    Kind.FUNCTION: _function,
    Kind.COROUTINE: _coroutine,
    Kind.GENERATOR: _generator,
    Kind.ASYNC_GENERATOR: _async_generator,
}


# The compiled forms. They do what the forms above do to a call that is admitted on the hot path and
# succeeds in time, and come back here with every other one.


def _cold_call(controller: Controller, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _call(take_permit(controller), fn, args, kwargs)


def _hot_returned(controller: Controller, generation: int, started: float, latency: float | None, result: Any) -> Any:
    return _returned(hot_permit(controller, generation, started, latency), result)


def _hot_settled(
    controller: Controller,
    generation: int,
    started: float,
    latency: float | None,
    exc: BaseException | None,
    result: Any,
) -> None:
    hot_permit(controller, generation, started, latency).settle(exc, result)


def _dropped(
    controller: Controller,
    generation: int,
    started: float,
    latency: float | None,
    permit: Permit | None,
    exc: BaseException,
) -> None:
    verdict = classify_exception(controller.settings, exc)
    if permit is None:
        controller.abandon(hot_ticket(generation, started, latency), verdict)
    else:
        permit.drop(verdict)


def _compiled_function(controller: Controller, fn: Callable[..., Any]) -> Callable[..., Any]:
    protected: Callable[..., Any] = compiled.protect(
        controller, controller.kernel, controller.now, fn, compiled.FUNCTION
    )
    return protected


def _compiled_coroutine(controller: Controller, fn: Callable[..., Any]) -> Callable[..., Any]:
    async def through_permit(*args: Any, **kwargs: Any) -> Any:
        return await _call_async(take_permit(controller), fn, args, kwargs)

    if not _does_nothing_yet(fn, inspect.CO_COROUTINE):
        return through_permit
    protected: Callable[..., Any] = compiled.protect(
        controller, controller.kernel, controller.now, fn, compiled.COROUTINE
    )
    return protected


def _compiled_generator(controller: Controller, fn: Callable[..., Any]) -> Callable[..., Any]:
    if not _does_nothing_yet(fn, inspect.CO_GENERATOR):
        return _generator(controller, fn)
    protected: Callable[..., Any] = compiled.protect(
        controller, controller.kernel, controller.now, fn, compiled.GENERATOR
    )
    return protected


def _compiled_async_generator(controller: Controller, fn: Callable[..., Any]) -> Callable[..., Any]:
    if not _does_nothing_yet(fn, inspect.CO_ASYNC_GENERATOR):
        return _async_generator(controller, fn)
    protected: Callable[..., Any] = compiled.protect(
        controller, controller.kernel, controller.now, fn, compiled.ASYNC_GENERATOR
    )
    return protected


def _does_nothing_yet(fn: Callable[..., Any], flag: int) -> bool:
    """Whether calling `fn` does nothing yet, so that it may be called before the call is admitted."""
    while isinstance(fn, functools.partial | MethodType):
        fn = fn.func if isinstance(fn, functools.partial) else fn.__func__
    return type(fn) in (FunctionType, compiled.Protected) and bool(fn.__code__.co_flags & flag)


def _any(*args: Any, **kwargs: Any) -> None:
    """Its code stands for that of a callable that has none."""


async def _any_coroutine(*args: Any, **kwargs: Any) -> None:
    """The same, where a coroutine function is to be seen."""


if compiled is not None:
    compiled.connect(
        open_error=CircuitOpenError,
        cold_call=_cold_call,
        hot_returned=_hot_returned,
        hot_settled=_hot_settled,
        take_permit=take_permit,
        dropped=_dropped,
        plain_code=_any.__code__,
        coroutine_code=_any_coroutine.__code__,
    )
    _PROTECTORS[Kind.FUNCTION] = _compiled_function
    _PROTECTORS[Kind.COROUTINE] = _compiled_coroutine
    _PROTECTORS[Kind.GENERATOR] = _compiled_generator
    _PROTECTORS[Kind.ASYNC_GENERATOR] = _compiled_async_generator
