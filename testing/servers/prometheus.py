"""Prometheus, from the system or the folder ``PROMETHEUS_BIN``."""

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from testing.servers.base import HOST, Server
from testing.servers.programs import find_program


def prometheus_binary() -> Path:
    """The program ``prometheus``. Raises ProgramMissingError when it is not there."""
    return find_program("PROMETHEUS_BIN", "prometheus")


class Prometheus(Server):
    """A Prometheus server.

    Args:
        config: Its configuration, as a mapping; written before each start and `reload`, so it may be changed.
        files: Further files beside the configuration, such as rules, by name.
        options: Further arguments of the command.
        port: Port to listen on; a free one when left out.
        start_timeout: Seconds a start may take.
    """

    name = "prometheus"

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        files: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        port: int | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        super().__init__(port=port, start_timeout=start_timeout)
        self.config = dict(config)
        self.files = dict(files or {})
        self.options = list(options)

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://{HOST}:{self.port}"

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._prepare()
        os.kill(self.pid, signal.SIGHUP)

    def _prepare(self) -> None:
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(self.config))
        for name, content in self.files.items():
            (self.folder / name).write_text(content)

    def _command(self) -> Sequence[str | Path]:
        return [
            prometheus_binary(),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address={HOST}:{self.port}",
            *self.options,
        ]

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")
