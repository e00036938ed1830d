"""Middleware for Flask and any other WSGI application: a breaker per route. Needs nothing.

    app.wsgi_app = CircuitBreakerMiddleware(app.wsgi_app)         # Flask
    app = CircuitBreakerMiddleware(app, key=lambda environ: ...)  # any other

A request to a route that keeps failing is answered with 503 and Retry-After, without running the application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeAlias

from recloser.errors import CircuitOpenError
from recloser.integrations._incoming import (
    DEFAULT_SETTINGS,
    UNROUTED,
    IncomingCall,
    RouteBreakers,
    note_inner_rejection,
    rejection,
)
from recloser.registry import Registry
from recloser.settings import Settings

__all__ = ["DEFAULT_SETTINGS", "CircuitBreakerMiddleware", "circuit_open_response"]

Environ: TypeAlias = dict[str, Any]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write: TypeAlias = Callable[[bytes], object]
StartResponse: TypeAlias = Callable[..., Write]
WSGIApp: TypeAlias = Callable[[Any, Any], Iterable[bytes]]


class CircuitBreakerMiddleware:
    """One breaker per route of a WSGI application.

    An exception and a 5xx are failures. A response that the server closes before its end (the client went away) is
    ignored, and so is a 503 from `circuit_open_response`. The latency is the time to the status of the response, and
    the permit is held until its end.

    Args:
        app: The application to protect.
        registry: Holds the breakers; None takes the process-wide one.
        name: The breakers are called `name:route`.
        settings: Settings of each breaker.
        key: `key(environ)` names the route of a request, or is None for a request that is not to be protected. There
            must not be many: use the template, never the path. Left out, a Flask application's `url_map` is asked,
            and any other application has one breaker.
        max_breakers: Bound on the number of breakers.

    Raises:
        DuplicateBreakerError: The registry has keyed breakers of this name with other settings.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        registry: Registry | None = None,
        name: str = "route",
        settings: Settings = DEFAULT_SETTINGS,
        key: Callable[[Environ], str | None] | None = None,
        max_breakers: int = 1_000,
    ) -> None:
        self.app = app
        self._key = _route_of(app) if key is None else key
        self._breakers = RouteBreakers(registry, name, settings, max_breakers)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        route = self._key(environ)
        if route is None:
            return self.app(environ, start_response)
        try:
            call = self._breakers.admit(route)
        except CircuitOpenError as exc:
            headers, body = rejection(exc)
            start_response("503 Service Unavailable", list(headers.items()))
            return [body]

        def start(status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None) -> Write:
            call.started(int(status.split(" ", 1)[0]))
            return start_response(status, headers, *(() if exc_info is None else (exc_info,)))

        try:
            with call.current():
                chunks = self.app(environ, start)
            return _SizedBody(chunks, call) if isinstance(chunks, list | tuple) else _Body(chunks, call)
        except BaseException as exc:
            call.raised(exc)
            raise


class _Body:
    """A response body that tells the call how it ended. The call is settled once; later words change nothing."""

    def __init__(self, body: Iterable[bytes], call: IncomingCall) -> None:
        self._body = body
        self._chunks: Iterator[bytes] = iter(body)
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            self._call.completed()
            raise
        except BaseException as exc:
            self._call.raised(exc)
            raise

    def close(self) -> None:
        """The server is done with the response, or with the client."""
        self._call.left()
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


class _SizedBody(_Body):
    """The same with a length: servers set Content-Length for a body of one part, which they know by it."""

    def __init__(self, body: list[bytes] | tuple[bytes, ...], call: IncomingCall) -> None:
        super().__init__(body, call)
        self._length = len(body)

    def __len__(self) -> int:
        return self._length


def _route_of(app: WSGIApp) -> Callable[[Environ], str | None]:
    # `app.wsgi_app` of Flask is a bound method.
    url_map: Any = getattr(getattr(app, "__self__", app), "url_map", None)
    if url_map is None:
        return lambda environ: UNROUTED

    def route(environ: Environ) -> str | None:
        try:
            rule, _ = url_map.bind_to_environ(environ).match(return_rule=True)
        except Exception as exc:
            if not hasattr(exc, "get_response"):  # Werkzeug's answers: not found, wrong method, redirect
                raise
            return None
        return str(rule.rule)

    return route


def circuit_open_response(exc: CircuitOpenError) -> tuple[bytes, int, dict[str, str]]:
    """A rejection by any breaker as the body, status and headers of a 503: what a Flask error handler returns.

    app.register_error_handler(CircuitOpenError, circuit_open_response)
    """
    note_inner_rejection()
    headers, body = rejection(exc)
    return body, 503, headers
