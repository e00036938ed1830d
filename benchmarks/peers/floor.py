"""The physical floor: the function itself, and a wrapper that does nothing."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from benchmarks.peers.base import Candidate, Features
from benchmarks.rules import Rules


class FloorError(Exception):
    """What the wrapper that raises raises."""


class BareCall(Candidate):
    label = "bare call"
    distribution = ""
    rejection = FloorError
    features = Features()
    generators = async_generators = True

    def breaker(self, rules: Rules, name: str, *, asynchronous: bool = False) -> None:
        return None

    def protect(self, breaker: Any, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn


class EmptyWrapper(BareCall):
    label = "empty wrapper"

    def protect(self, breaker: Any, fn: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(fn):

            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                return await fn(*args, **kwargs)

            return async_wrapper

        if inspect.isgeneratorfunction(fn):

            def generator_wrapper(*args: Any, **kwargs: Any) -> Iterator[Any]:
                yield from fn(*args, **kwargs)

            return generator_wrapper

        if inspect.isasyncgenfunction(fn):

            async def async_generator_wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                async for item in fn(*args, **kwargs):
                    yield item

            return async_generator_wrapper

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs)

        return wrapper

    def rejecting(self, *, asynchronous: bool) -> Callable[..., Any]:
        """A wrapper that raises, and calls nothing."""
        if asynchronous:

            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                raise FloorError

            return async_wrapper

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            raise FloorError

        return wrapper


CANDIDATES = (BareCall(), EmptyWrapper())
