"""What a request may weigh and how long its body may take, checked before the application sees it."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from incident_manager.api.errors import ApiError, error_response


class BodyLimit:
    """ASGI middleware that reads the whole body first and refuses one that is too large or too slow.

    Args:
        app: The application.
        max_bytes: Bytes of body that are taken; more is answered 413.
        timeout: Seconds until the last byte of the body has arrived; later is answered 408.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            messages = await self._read(scope, receive)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, _replay(messages, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> list[Message]:
        """Every message of the body. Raises ApiError."""
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_large()  # before the sender was told to go on
        messages: list[Message] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout):
                while not messages or messages[-1].get("more_body", False):
                    messages.append(await receive())
                    size += len(messages[-1].get("body", b""))
                    if size > self._max_bytes:
                        raise self._too_large()
        except TimeoutError:
            message = f"the body did not arrive within {self._timeout:g} s"
            raise ApiError(408, "request_timeout", message, headers={"Connection": "close"}) from None
        return messages

    def _too_large(self) -> ApiError:
        message = f"the body is larger than {self._max_bytes} bytes; send fewer alerts in one request"
        return ApiError(413, "body_too_large", message, headers={"Connection": "close"})


def _replay(messages: list[Message], receive: Receive) -> Receive:
    """A `receive` that gives the messages that were read, and then what really comes."""
    left = iter(messages)

    async def replay() -> Message:
        for message in left:
            return message
        return await receive()

    return replay
