"""What the ASGI and WSGI middleware share: a breaker per route, how a response counts, what a rejected client reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from recloser.errors import CircuitOpenError
from recloser.permits import Permit
from recloser.registry import Registry, default_registry
from recloser.settings import Settings, TimeWindow

DEFAULT_SETTINGS = Settings(
    failure_threshold=None,
    failure_rate_threshold=0.5,
    minimum_calls=20,
    window=TimeWindow(30.0),
    open_for=10.0,
    half_open_max_calls=3,
    success_threshold=3,
)
"""Half of at least 20 requests within 30 s open a route for 10 s; 3 good answers close it.

A rate, not failures in a row: else one client that repeats one bad request could close a route to everybody.
"""

UNROUTED = "*"
"""The key of all requests to an application whose routes are not known."""


class IncomingCall:
    """One admitted request, from admission to the end of its response."""

    __slots__ = ("__weakref__", "_inner_rejection", "_permit")

    def __init__(self, permit: Permit) -> None:
        self._permit = permit
        self._inner_rejection = False

    def started(self, status: int) -> None:
        """The response has a status: the latency is known, and a 5xx has failed whatever comes after."""
        self._permit.mark_first_item()
        if self._inner_rejection:
            self._permit.ignore()
        elif status >= 500:
            self._permit.failure_described(f"HTTP {status}")

    def completed(self) -> None:
        """The response has been sent to its end."""
        self._permit.success()

    def raised(self, exc: BaseException) -> None:
        """The application raised before the response was complete."""
        if isinstance(exc, CircuitOpenError):
            self._permit.ignore()
        else:
            self._permit.settle(exc)

    def left(self) -> None:
        """The client went away: that says nothing about the application."""
        self._permit.ignore()

    def broke_off(self) -> None:
        """The application ended without an error and without a complete response."""
        self._permit.failure_described("the response was not completed")

    def note_inner_rejection(self) -> None:
        """A breaker further in rejected: its dependency has failed, and it protects it already."""
        self._inner_rejection = True

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make this the call that `note_inner_rejection` speaks of."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


_current: ContextVar[IncomingCall | None] = ContextVar("recloser_incoming_call", default=None)


def note_inner_rejection() -> None:
    """Tell the middleware, if there is one, that the 503 it will see comes from a breaker further in."""
    call = _current.get()
    if call is not None:
        call.note_inner_rejection()


class RouteBreakers:
    """One breaker per route, called `name:route`, at most `max_breakers` of them."""

    def __init__(self, registry: Registry | None, name: str, settings: Settings, max_breakers: int) -> None:
        chosen = default_registry if registry is None else registry
        self._breakers = chosen.keyed(name, settings, max_breakers=max_breakers)

    def admit(self, route: str) -> IncomingCall:
        """Admit one request.

        Raises:
            CircuitOpenError: It is rejected.
        """
        return IncomingCall(self._breakers.get(route).acquire())


def rejection(exc: CircuitOpenError) -> tuple[dict[str, str], bytes]:
    """Headers and JSON body of the 503 for a rejected request.

    It names neither the breaker nor its last failure: a client need not know what an application is built of.
    """
    seconds = None if exc.retry_after is None else max(1, math.ceil(exc.retry_after))
    when = "try again later" if seconds is None else f"try again in {seconds} s"
    body = json.dumps({"error": "circuit_open", "detail": f"Unavailable for now, {when}.", "retry_after": seconds})
    headers = {"content-type": "application/json", "content-length": str(len(body)), "cache-control": "no-store"}
    if seconds is not None:
        headers["retry-after"] = str(seconds)
    return headers, body.encode()
