"""The incident manager itself as a server under test: the real command in a real process."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import yaml

from testing.servers import Server

T = TypeVar("T")


class IncidentManager(Server):
    """``incident-manager serve`` with its data in a temporary folder.

    Args:
        config: The settings file, as a mapping; written before each start, so it may be changed in between.
    """

    name = "incident-manager"

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.config = dict(config or {})

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def exit_code(self) -> int | None:
        """How the process of the last start ended; None while it runs, negative for a signal."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Send SIGTERM and do not wait for the end."""
        os.kill(self.pid, signal.SIGTERM)

    def client(self, timeout: float = 30.0) -> httpx2.Client:
        """A client of the API; close it after use."""
        return httpx2.Client(base_url=self.url, timeout=timeout)

    def _prepare(self) -> None:
        (self.folder / "settings.yaml").write_text(yaml.safe_dump(self.config))

    def _command(self) -> Sequence[str | Path]:
        options = ["--port", str(self.port), "--data-dir", "data", "--config", "settings.yaml"]
        return [sys.executable, "-m", "incident_manager", "serve", *options]

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")


def eventually(read: Callable[[], T], accept: Callable[[T], bool], timeout: float = 30.0, *, pause: float = 0.02) -> T:
    """What ``read`` returns, as soon as ``accept`` takes it; read every ``pause`` seconds.

    Raises:
        TimeoutError: That did not happen within ``timeout`` seconds; the text holds the last value.
    """
    deadline = time.monotonic() + timeout
    while not accept(value := read()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout} s it is still {value!r}")
        time.sleep(pause)
    return value
