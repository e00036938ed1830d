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
    skin = skin_of(inside)
    policy = make_policy(client, dialect, **options)
    _httpx.protect(inside, policy, skin.BreakerTransport, skin.AsyncBreakerTransport)
    protected: Any = _protected(type(client), hasattr(inside, "aclose"), count_retries)  # type: ignore[arg-type]
    client.__class__ = protected
    return client


def unprotect(client: C) -> C:
    """Undo `protect`: calls that begin from now on ask no breaker; the client itself is changed and returned.

    Copies share the HTTP client inside, and so are not protected any more either.

    Raises:
        ValueError: It is not protected.
    """
    kind: Any = type(client)
    if not vars(kind).get("recloser_protected"):
        raise ValueError(f"{client!r} is not protected")
    inside: Any = client
    _httpx.unprotect(inside._client)
    client.__class__ = kind.__base__
    return client


def make_policy(client: Any, dialect: Dialect, **options: Unpack[LlmOptions]) -> LlmPolicy:
    """What decides about the requests of an SDK client.

    Raises:
        SettingsError: An option was refused.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """
    idle_timeout = options.pop("idle_timeout", None)
    configuration_open_for = options.pop("configuration_open_for", 900.0)
    if idle_timeout is not None:
        check_seconds("idle_timeout", idle_timeout)
    check_seconds("configuration_open_for", configuration_open_for)
    plain: Any = options  # what is left are those of Options
    breakers = Breakers(_httpx.host_of, presets.llm_service, dialect.name, **plain)
    return LlmPolicy(
        skin_of(client._client).BreakerTransport.names,
        breakers,
        _patience(client),
        dialect,
        configuration_open_for,
        idle_timeout,
    )


def skin_of(inside: Any) -> Any:
    """The integration of the HTTP client inside an SDK client; only what the SDK has imported itself is imported."""
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
                    name_the_cause(exc)
                    raise
    else:

        def request(self: Any, *args: Any, **kwargs: Any) -> Any:
            with attempts():
                try:
                    return kind.request(self, *args, **kwargs)
                except Exception as exc:
                    name_the_cause(exc)
                    raise

    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), {"request": request, "recloser_protected": True, **names})


def name_the_cause(exc: Exception) -> None:
    """Let the SDK's error for a rejected request have the rejection as its cause."""
    extensions = getattr(getattr(exc, "response", None), "extensions", {})
    if OPEN_ERROR in extensions:
        exc.__cause__ = extensions[OPEN_ERROR]
