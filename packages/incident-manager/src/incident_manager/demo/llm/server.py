"""Runs one of the small services: a real HTTP server on a free port of this machine, that can die and come back."""

from __future__ import annotations

import hmac
import socket
import threading
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from incident_manager.demo.llm.faults import Switch, WithFaults


class _WithKey:
    """Answers 401 to requests that do not bear the key."""

    def __init__(self, app: ASGIApp, header: str, value: str) -> None:
        self._app = app
        self._header = header
        self._value = value

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = Request(scope).headers.get(self._header, "")
            if not hmac.compare_digest(given.encode(), self._value.encode()):
                await JSONResponse({"code": "unauthorized", "message": "a key is needed"}, 401)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class ServiceServer:
    """One service.

    Args:
        routes: What it answers.
        header: The request header that must hold the key.
        value: What it must hold.

    Attributes:
        switch: What it does wrong.
    """

    def __init__(self, routes: Sequence[BaseRoute], header: str = "X-API-Key", value: str = "") -> None:
        self.switch = Switch()
        app: ASGIApp = Starlette(routes=list(routes))
        if value:
            app = _WithKey(app, header, value)
        self._app = WithFaults(app, self.switch)
        self._port = 0
        self._running: tuple[uvicorn.Server, threading.Thread] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, on the port of the first time."""
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", self._port))
        bound.listen(128)
        self._port = bound.getsockname()[1]
        config = uvicorn.Config(self._app, log_config=None, log_level="critical", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        self._running = (server, thread)

    def stop(self) -> None:
        """Die: connections under way break, and new ones are refused."""
        if self._running is not None:
            server, thread = self._running
            server.should_exit = server.force_exit = True
            thread.join()
            self._running = None

    def __enter__(self) -> ServiceServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
