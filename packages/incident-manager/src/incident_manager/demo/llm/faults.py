"""What a service can be made to do wrong, as a layer around any ASGI application."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Fault(StrEnum):
    """What is wrong."""

    NONE = "none"
    HANG = "hang"
    """Take the request and never answer."""
    SLOW = "slow"
    """Answer rightly after `delay` seconds."""
    ERROR = "error"
    """Answer `status`."""
    THROTTLED = "throttled"
    """Answer 429 with Retry-After: `retry_after`."""
    GARBAGE = "garbage"
    """Answer 200 with something that is no JSON."""
    TRUNCATED = "truncated"
    """Begin the right answer and break off."""


@dataclass
class Switch:
    """The fault that is on, and how often the service was asked.

    Attributes:
        delay: Seconds, for SLOW.
        retry_after: Seconds, for THROTTLED.
        status: HTTP status, for ERROR.
        answer: What to answer in place of the right thing, with the status of ERROR if that is on.
        events: What to answer in place of the right thing, as a stream of server-sent events.
        requests: Paths that were asked for, faults included.
    """

    fault: Fault = Fault.NONE
    delay: float = 1.0
    retry_after: int = 7
    status: int = 500
    answer: dict[str, Any] | None = None
    events: list[str] | None = None
    requests: list[str] = field(default_factory=list)

    def mend(self) -> None:
        """Do nothing wrong any more, and forget what was asked."""
        self.fault, self.status, self.answer, self.events = Fault.NONE, 500, None, None
        self.requests.clear()


class WithFaults:
    """An application that does what the switch says."""

    def __init__(self, app: ASGIApp, switch: Switch) -> None:
        self._app = app
        self._switch = switch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, rightly or wrongly."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._switch.requests.append(scope["path"])
        answer = self._answer()
        match self._switch.fault:
            case Fault.HANG:
                while (await receive())["type"] != "http.disconnect":
                    pass
            case Fault.SLOW:
                await asyncio.sleep(self._switch.delay)
                await answer(scope, receive, send)
            case Fault.TRUNCATED:
                await answer(scope, receive, _breaking_off(send))
            case _:
                await answer(scope, receive, send)

    def _answer(self) -> ASGIApp:
        switch = self._switch
        match switch.fault:
            case Fault.ERROR:
                return JSONResponse(switch.answer or {"code": "fault", "message": "a fault is on"}, switch.status)
            case Fault.THROTTLED:
                return JSONResponse({"code": "throttled"}, 429, {"Retry-After": str(switch.retry_after)})
            case Fault.GARBAGE:
                return Response("<html>not what you asked for", media_type="application/json")
        if switch.events is not None:
            return Response("".join(f"data: {data}\n\n" for data in switch.events), media_type="text/event-stream")
        return self._app if switch.answer is None else JSONResponse(switch.answer)


class BrokenOffError(Exception):
    """Ends a response in its middle, so that the server closes the connection."""


def _breaking_off(send: Send) -> Send:
    async def broken(message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            raise BrokenOffError
        await send(message)

    return broken
