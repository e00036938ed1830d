"""Alertmanager and its amtool, from the system or the folder ``ALERTMANAGER_BIN``."""

import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testing.servers.base import HOST, Server
from testing.servers.programs import find_program


def alertmanager_binary() -> Path:
    """The program ``alertmanager``, as Debian or its authors call it. Raises ProgramMissingError."""
    return find_program("ALERTMANAGER_BIN", "prometheus-alertmanager", "alertmanager")


def amtool_binary() -> Path:
    """The program ``amtool``. Raises ProgramMissingError."""
    return find_program("ALERTMANAGER_BIN", "amtool")


class Alertmanager(Server):
    """An Alertmanager that is alone.

    Args:
        config: Its configuration, as a mapping; written before each start, so it may be changed in between.
        port: Port to listen on; a free one when left out.
        start_timeout: Seconds a start may take.
    """

    name = "alertmanager"

    def __init__(self, config: Mapping[str, Any], *, port: int | None = None, start_timeout: float = 60.0) -> None:
        super().__init__(port=port, start_timeout=start_timeout)
        self.config = dict(config)

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://{HOST}:{self.port}"

    def _prepare(self) -> None:
        (self.folder / "alertmanager.yml").write_text(json.dumps(self.config))  # YAML, too

    def _command(self) -> Sequence[str | Path]:
        return [
            alertmanager_binary(),
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            f"--web.listen-address={HOST}:{self.port}",
            "--cluster.listen-address=",  # no cluster
        ]

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")
