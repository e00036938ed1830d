"""How many requests came for each route, how they were answered and after how long, for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def request_durations(prefix: str) -> Histogram:
    """The metric, in no registry yet."""
    return Histogram(
        f"{prefix}http_request_duration_seconds",
        "Time until the answer to a request began.",
        labelnames=("method", "route", "status"),
        registry=None,
    )


class RequestMetrics:
    """ASGI middleware that observes how long each answer takes to begin; a stream may go on for hours after that.

    Paths are told by their route, and what no route takes has none, so that a caller makes no series by asking.

    Args:
        app: The application.
        durations: What `request_durations` made.
    """

    def __init__(self, app: ASGIApp, durations: Histogram) -> None:
        self._app = app
        self._durations = durations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route = getattr(scope.get("route"), "path", "")
                took = time.perf_counter() - began
                self._durations.labels(method, route, str(message["status"])).observe(took)
            await send(message)

        await self._app(scope, receive, answer)
