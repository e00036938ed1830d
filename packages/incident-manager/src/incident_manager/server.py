"""Running the application in this process: one uvicorn worker, readable log lines, an orderly end."""

import contextlib
import gc
import logging
import signal
import socket
import sys
import time

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from incident_manager.api.request_id import RequestIdInLog
from incident_manager.log_level import LogLevel, set_log_level

logger = logging.getLogger(__name__)

GRACEFUL_SHUTDOWN = 30
"""Seconds that running requests get after SIGTERM."""


class ListenError(OSError):
    """The address cannot be listened on; the message says why."""


def configure_logging(level: LogLevel = "info") -> None:
    """Log to stderr, one line per event: UTC time, level, where, what."""
    line = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s:%(request)s %(message)s"
    formatter = logging.Formatter(line, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(RequestIdInLog())
    logging.basicConfig(handlers=[handler], force=True)
    set_log_level(level)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. It accepts nothing until the server runs.

    Raises:
        ListenError: The port is taken, or the host is not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ListenError(f"cannot listen on host {host!r}: {error.strerror}") from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ListenError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return bound


def address_of(bound: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def _explaining(app: FastAPI) -> ASGIApp:
    """The app, with one line in the log when it knows why it cannot start, where Starlette gives a traceback."""

    async def explain(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            error = getattr(app.state, "start_error", None)
            if message["type"] == "lifespan.startup.failed" and error is not None:
                message = {**message, "message": f"cannot start: {error}"}
            await send(message)

        await app(scope, receive, answer if scope["type"] == "lifespan" else send)

    return explain


class Server(uvicorn.Server):
    """A uvicorn server that says where it listens once it does, and why it ends."""

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(
            _explaining(app),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
            lifespan="on",
        )
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what was made until now lives as long as the process: no use in looking at it again and again
        if self.started:
            for bound in sockets or []:
                logger.info("listening on %s", address_of(bound))

    def reload(self) -> None:
        """Take the files over now. May be called from a signal handler; before the start it does nothing."""
        ask = getattr(self._app.state, "reload", None)
        if ask is not None:
            ask()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen no more, finish what runs, then stop the application."""
        logger.info("finishing what runs, then ending")
        end_streams = getattr(self._app.state, "end_streams", None)
        if end_streams is not None:  # a stream would not end by itself, and uvicorn waits for it
            end_streams()
        await super().shutdown(sockets)
        logger.info("ended")


def run(app: FastAPI, bound: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, then end in order; a second Ctrl-C does not wait.

    Raises:
        SystemExit: 3 when the application could not be started.
    """
    # uvicorn raises the signal again after an orderly end; that end is not a failure.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    server = Server(app)
    signal.signal(signal.SIGHUP, lambda number, frame: server.reload())
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[bound])
