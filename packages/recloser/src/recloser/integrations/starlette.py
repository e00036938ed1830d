"""A handler for Starlette and FastAPI that answers a rejection by any breaker with 503. Needs `recloser[starlette]`.

    app.add_exception_handler(CircuitOpenError, circuit_open_handler)

The middleware that gives each route a breaker is `recloser.integrations.asgi.CircuitBreakerMiddleware`.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from recloser.errors import CircuitOpenError
from recloser.integrations._incoming import note_inner_rejection, rejection

__all__ = ["circuit_open_handler"]

_TRY_AGAIN_LATER = 1013  # the WebSocket close code of that name, from IANA's registry


# Any: Starlette wants a Response for HTTP, and None for a WebSocket, of what may be the same function.
async def circuit_open_handler(connection: HTTPConnection, exc: Exception) -> Any:
    """Answer with 503, Retry-After in whole seconds (rounded up) and a JSON body; close a WebSocket with code 1013.

    Raises:
        TypeError: It was registered for another exception than `CircuitOpenError`.
    """
    if not isinstance(exc, CircuitOpenError):
        raise TypeError(f"circuit_open_handler was given {exc!r}: register it for CircuitOpenError") from exc
    note_inner_rejection()
    if isinstance(connection, WebSocket) and not _can_be_denied(connection):
        await connection.close(_TRY_AGAIN_LATER, str(rejection(exc)[0].get("retry-after", "")))
        return None
    headers, body = rejection(exc)
    return Response(body, 503, headers)


def _can_be_denied(websocket: WebSocket) -> bool:
    extensions = websocket.scope.get("extensions") or {}
    return websocket.application_state is WebSocketState.CONNECTING and "websocket.http.response" in extensions
