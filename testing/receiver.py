"""A real HTTP receiver of notifications that can die and come back on the same port."""

import json
import socketserver
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from testing.servers import free_port


@dataclass(frozen=True)
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nothing to report."""


class Receiver:
    """Answers every POST with ``status`` and remembers it. Header names are lower case.

    While `gate` is cleared it takes requests and answers none.
    """

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.port = free_port()
        self.gate = threading.Event()
        self.gate.set()
        self._requests: list[Received] = []
        self._changed = threading.Condition()
        self._server: socketserver.BaseServer | None = None

    @property
    def url(self) -> str:
        """Where to send notifications."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def requests(self) -> list[Received]:
        """Every request so far, refused ones included."""
        with self._changed:
            return list(self._requests)

    def wait_for(self, count: int, timeout: float = 20.0) -> list[Received]:
        """The requests, as soon as there are ``count`` of them. Raises TimeoutError after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, timeout):
                raise TimeoutError(f"{len(self._requests)} of {count} requests came within {timeout} s")
            return list(self._requests)

    def forget(self) -> None:
        """Remember nothing of what came so far."""
        with self._changed:
            self._requests.clear()

    def start(self) -> Self:
        """Listen, on the same port as before."""
        if self._server is not None:
            return self
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver._remember(Received(self.path, headers, body))
                receiver.gate.wait(timeout=60)
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        server = _Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self._server = server
        return self

    def stop(self) -> None:
        """Listen no more: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _remember(self, request: Received) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
