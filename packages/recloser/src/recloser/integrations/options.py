"""The keyword arguments of everything that has a breaker per host, for wrappers of your own.

`def client(**options: Unpack[Options[httpx.Request]])` is checked like `protect` itself. No client is needed for these
types.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypedDict, TypeVar

from recloser.breaker import CircuitBreaker
from recloser.registry import Registry
from recloser.settings import Settings

__all__ = ["LlmOptions", "Options"]

R = TypeVar("R")


class Options(TypedDict, Generic[R], total=False):
    """Keyword arguments of everything that protects a client with a breaker per host.

    Attributes:
        breaker: One breaker for all requests; without it there is one per host, or per `key`.
        key: Function of the client's own request that returns what a breaker stands for; default: the host, and the
            port if it is not the usual one. Query strings have no place in it.
        settings: Settings of each breaker; default: the registry's own, or `presets.http_api()` if it has none.
        registry: Where the breakers are kept; default: `recloser.default_registry`.
        name: The breakers are called `name:key`; default `http`, `grpc`, or what the SDK is called.
        max_breakers: Bound on their number; default 1,000. See `recloser.KeyedBreakers`.
    """

    breaker: CircuitBreaker
    key: Callable[[R], Hashable]
    settings: Settings
    registry: Registry
    name: str
    max_breakers: int


class LlmOptions(Options[Any], total=False):
    """Keyword arguments of `protect`, besides those of `Options`.

    Attributes:
        count_retries: False counts a call once, however often the SDK has tried; default True, each attempt counts.
        idle_timeout: Seconds of silence within a stream that make it a failure (`ReadTimeout`); default: the client's
            own read timeout.
        configuration_open_for: Seconds to stay open when the key or the account is refused; default 900.
    """

    count_retries: bool
    idle_timeout: float
    configuration_open_for: float
