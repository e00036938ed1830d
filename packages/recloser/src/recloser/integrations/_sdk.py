"""`protect(client)` for the SDKs of model providers, which are all generated alike."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from recloser import presets
from recloser.integrations import _httpx
from recloser.integrations._http import Breakers
from recloser.integrations._llm import OPEN_ERROR, Dialect, LlmPolicy, one_call
from recloser.integrations.options import LlmOptions
from recloser.settings import check_seconds

C = TypeVar("C")


def protect(client: C, dialect: Dialect, **options: Unpack[LlmOptions]) -> C:
    """Put an SDK client behind circuit breakers; the client itself is changed and returned.

    Copies made of it (`with_options`) are protected as well.

    Raises:
        TypeError: It is not an SDK client.
        ValueError: It is protected already.
        SettingsError: An option was refused.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """
    inside = getattr(client, "_client", None)
    if inside is None or not hasattr(inside, "_transport"):
        raise TypeError(f"{client!r} is not a client of the {dialect.name} SDK")
    count_retries = options.pop("count_retries", True)
    idle_timeout = options.pop("idle_timeout", None)
    configuration_open_for = options.pop("configuration_open_for", 900.0)
    if idle_timeout is not None:
        check_seconds("idle_timeout", idle_timeout)
    check_seconds("configuration_open_for", configuration_open_for)
    plain: Any = options  # what is left are those of Options
    skin = _skin_of(inside)
    breakers = Breakers(_httpx.host_of, presets.llm_service, dialect.name, **plain)
    policy = LlmPolicy(
        skin.BreakerTransport.names,
        breakers,
        _patience(client),
        dialect,
        configuration_open_for,
        idle_timeout,
    )
    _httpx.protect(inside, policy, skin.BreakerTransport, skin.AsyncBreakerTransport)
    protected: Any = _protected(type(client), hasattr(inside, "aclose"), count_retries)  # type: ignore[arg-type]
    client.__class__ = protected
    return client


def _skin_of(inside: Any) -> Any:
    # Only what the SDK has imported itself is imported here.
    if any(kind.__module__.partition(".")[0] == "httpx2" for kind in type(inside).__mro__):
        from recloser.integrations import httpx2

        return httpx2
    from recloser.integrations import httpx

    return httpx


def _patience(client: Any) -> float | None:
    timeout = client.timeout
    seconds: float | None = getattr(timeout, "read", timeout)
    return seconds


@functools.cache
def _protected(kind: type[Any], is_async: bool, count_retries: bool) -> type[Any]:
    """A subclass whose errors have the rejection as their cause; the SDK makes its copies of the same class."""
    attempts = contextlib.nullcontext if count_retries else one_call
    request: Callable[..., Any]
    if is_async:

        async def request(self: Any, *args: Any, **kwargs: Any) -> Any:
            with attempts():
                try:
                    return await kind.request(self, *args, **kwargs)
                except Exception as exc:
                    _name_the_cause(exc)
                    raise
    else:

        def request(self: Any, *args: Any, **kwargs: Any) -> Any:
            with attempts():
                try:
                    return kind.request(self, *args, **kwargs)
                except Exception as exc:
                    _name_the_cause(exc)
                    raise

    names = {"request": request, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), names)


def _name_the_cause(exc: Exception) -> None:
    extensions = getattr(getattr(exc, "response", None), "extensions", {})
    if OPEN_ERROR in extensions:
        exc.__cause__ = extensions[OPEN_ERROR]
