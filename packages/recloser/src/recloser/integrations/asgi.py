"""Middleware for Starlette, FastAPI, Litestar and any other ASGI application: a breaker per route. Needs nothing.

    app.add_middleware(CircuitBreakerMiddleware)                  # Starlette, FastAPI
    Litestar(..., middleware=[CircuitBreakerMiddleware])
    app = CircuitBreakerMiddleware(app, key=lambda scope: ...)    # any other

A request to a route that keeps failing is answered with 503 and Retry-After, without running the application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from recloser.errors import CircuitOpenError
from recloser.integrations._incoming import DEFAULT_SETTINGS, UNROUTED, IncomingCall, RouteBreakers, rejection
from recloser.registry import Registry
from recloser.settings import Settings

__all__ = ["DEFAULT_SETTINGS", "CircuitBreakerMiddleware", "route_template", "send_rejection"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
# Every framework has types of its own for these three, and none of them fits another's.
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_FULL_MATCH = 2  # starlette.routing.Match.FULL, known without importing Starlette


def route_template(scope: Scope) -> str | None:
    """The template of the route a request will take (`/items/{id}`), or None when no route takes it.

    Litestar says it itself; for Starlette and FastAPI it is asked of the routes of `scope["app"]`, as their router
    does. For an application that has no such routes it is `"*"`.
    """
    if "path_template" in scope:
        return str(scope["path_template"])
    routes = [route for route in getattr(scope.get("app"), "routes", ()) if hasattr(route, "matches")]
    return _find(routes, dict(scope)) if routes else UNROUTED


def _find(routes: Iterable[Any], scope: Scope) -> str | None:
    for route in routes:
        match, child_scope = route.matches(scope)
        if match.value == _FULL_MATCH:
            children = _children(route)
            path = str(getattr(route, "path", None) or "")
            if not children:
                return path or UNROUTED
            below = _find(children, {**scope, **child_scope})
            return None if below is None else path + below
    return None


def _children(route: Any) -> list[Any]:
    # A Mount or Host has `routes`; what FastAPI keeps of an included router has routes with their whole path.
    contexts = getattr(route, "effective_route_contexts", None)
    return list(contexts() if contexts is not None else getattr(route, "routes", None) or ())


class CircuitBreakerMiddleware:
    """One breaker per route of an ASGI application.

    An exception and a 5xx are failures. A client that goes away is ignored, and so is a 503 that
    `recloser.integrations.starlette.circuit_open_handler` made of another breaker's rejection. The latency is the
    time to the start of the response, and the permit is held until its end. WebSockets and lifespan pass through.

    Args:
        app: The application to protect.
        registry: Holds the breakers; None takes the process-wide one.
        name: The breakers are called `name:route`.
        settings: Settings of each breaker.
        key: `key(scope)` names the route of a request, or is None for a request that is not to be protected. There
            must not be many: use the template, never the path.
        max_breakers: Bound on the number of breakers.

    Raises:
        DuplicateBreakerError: The registry has keyed breakers of this name with other settings.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        registry: Registry | None = None,
        name: str = "route",
        settings: Settings = DEFAULT_SETTINGS,
        key: Callable[[Scope], str | None] = route_template,
        max_breakers: int = 1_000,
    ) -> None:
        self.app = app
        self._key = key
        self._breakers = RouteBreakers(registry, name, settings, max_breakers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        route = self._key({"app": self.app, **scope}) if scope["type"] == "http" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        try:
            call = self._breakers.admit(route)
        except CircuitOpenError as exc:
            await send_rejection(exc, send)
            return
        exchange = _Exchange(call, receive, send)
        try:
            with call.current():
                await self.app(scope, exchange.receive, exchange.send)
        except BaseException as exc:
            exchange.ended(exc)
            raise
        exchange.ended()


class _Exchange:
    """What is seen of one request and its response. The call is settled once; later words change nothing."""

    def __init__(self, call: IncomingCall, receive: Receive, send: Send) -> None:
        self._call = call
        self._receive = receive
        self._send = send
        self._client_left = False
        self._trailers = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._client_left = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._trailers = message.get("trailers", False)
            self._call.started(message["status"])
        try:
            await self._send(message)
        except OSError:  # how a server says that the client is gone
            self._client_left = True
            raise
        if self._is_last(message):
            self._call.completed()

    def _is_last(self, message: Message) -> bool:
        kind = message["type"]
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        if kind in ("http.response.body", "http.response.zerocopysend"):
            return not (message.get("more_body", False) or self._trailers)
        return kind == "http.response.pathsend" and not self._trailers

    def ended(self, exc: BaseException | None = None) -> None:
        if self._client_left:
            self._call.left()
        elif exc is not None:
            self._call.raised(exc)
        else:
            self._call.broke_off()


async def send_rejection(exc: CircuitOpenError, send: Send) -> None:
    """Answer a rejected request: 503, Retry-After in whole seconds (rounded up) and a JSON body."""
    headers, body = rejection(exc)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 503, "headers": raw})
    await send({"type": "http.response.body", "body": body})
