"""The gRPC server as a process of its own, to be killed, frozen and restarted."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from packages.recloser.tests.integrations.rpc.server import PROGRAM
from testing.servers.base import HOST, Server

# RFC 9113: the client's preface, an empty SETTINGS frame, and the type of the frame that must come back first.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4


class RpcProcess(Server):
    """A gRPC server that answers every call with `fine`."""

    name = "grpc"

    @property
    def url(self) -> str:
        return f"{HOST}:{self.port}"

    def _command(self) -> Sequence[str | Path]:
        return [sys.executable, PROGRAM, str(self.port)]

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(_HELLO)
        frame = connection.recv(9)
        return len(frame) > 3 and frame[3] == _SETTINGS
