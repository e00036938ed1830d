"""What to do instead, when a call is rejected or has failed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from recloser.calls import Kind, bare, kind_of
from recloser.controller import Controller
from recloser.errors import CircuitOpenError


def with_fallback(
    controller: Controller,
    primary: Callable[..., Any],
    fallback: Callable[..., Any],
    *,
    on_failure: bool,
) -> Callable[..., Any]:
    """A function that calls `primary` protected, and else `fallback(exc, *args, **kwargs)`.

    The fallback runs when this breaker rejects the call and, with `on_failure`, when the call raised an
    `Exception`. What the fallback raises propagates, with the first exception as its context.

    Raises:
        TypeError: A generator was given: half of its items may be out when it fails.
    """
    kind = kind_of(primary)
    if kind in (Kind.GENERATOR, Kind.ASYNC_GENERATOR):
        raise TypeError(f"{primary!r} is a generator: it has no single result that a fallback could replace")
    protected = bare(controller, primary)

    def wanted(exc: Exception) -> bool:
        # A rejection by another breaker, deeper in the call, is a failure of this call.
        return on_failure or (isinstance(exc, CircuitOpenError) and exc.breaker == controller.name)

    async def finish(pending: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return await pending
        except Exception as exc:
            if not wanted(exc):
                raise
            result = fallback(exc, *args, **kwargs)
            return await result if hasattr(type(result), "__await__") else result

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = protected(*args, **kwargs)
        except Exception as exc:
            if not wanted(exc):
                raise
            return fallback(exc, *args, **kwargs)
        return finish(result, args, kwargs) if hasattr(type(result), "__await__") else result

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        return await finish(protected(*args, **kwargs), args, kwargs)

    return functools.wraps(primary)(call_async if kind is Kind.COROUTINE else call)
