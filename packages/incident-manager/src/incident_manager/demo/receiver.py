"""A receiver of webhooks for the demo: a real HTTP server that can be killed and comes back on the same port."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_KEY = secrets.token_bytes(24)
SECRET = "whsec_" + base64.b64encode(_KEY).decode()


@dataclass(frozen=True)
class Notification:
    """A notification that arrived with a valid signature."""

    webhook_id: str
    content: dict[str, Any]
    at: float
    """Monotonic seconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class Receiver:
    """Listens on one free port of this machine for as long as it lives, with pauses when it is down."""

    def __init__(self) -> None:
        self.notifications: dict[str, Notification] = {}
        self.forgeries = 0
        self._server: _Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it takes notifications."""
        return f"http://127.0.0.1:{self._port}/notifications"

    def start(self) -> None:
        """Listen, on the port of the first time."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver._take(dict(self.headers.items()), body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: the demo tells the story."""

        self._server = _Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Die: connections are refused from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self, headers: dict[str, str], body: bytes) -> None:
        """Remember a notification; one that is sent again has the same id and counts once."""
        known = {name.lower(): value for name, value in headers.items()}
        signed = f"{known['webhook-id']}.{known['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.digest(_KEY, signed, hashlib.sha256)).decode()
        if f"v1,{signature}" not in known["webhook-signature"].split():
            self.forgeries += 1
            return
        found = Notification(known["webhook-id"], json.loads(body), time.monotonic())
        self.notifications.setdefault(found.webhook_id, found)
