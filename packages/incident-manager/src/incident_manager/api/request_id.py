"""A name for every request, in its answer, its errors and the log; and the headers that every answer has."""

from __future__ import annotations

import logging
import re
import secrets
from contextvars import ContextVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"

_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def current_request_id() -> str | None:
    """Return the id of the request that is being served; None outside of one."""
    return _current.get()


class RequestId:
    """ASGI middleware that takes the caller's `X-Request-Id` if it is sane and makes one if not.

    The answer carries it, and says that it is not to be cached and that its type is not to be guessed.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _SANE.fullmatch(given) else f"req_{secrets.token_hex(12)}"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        # Never reset: every request is a task of its own, and what answers a fault of ours comes after us.
        _current.set(request_id)
        await self._app(scope, receive, answer)


class RequestIdInLog(logging.Filter):
    """Puts `[id]` before the message of what is logged while a request is served."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set `request` on a record: ` [id]`, or nothing."""
        request_id = _current.get()
        record.request = "" if request_id is None else f" [{request_id}]"
        return True
