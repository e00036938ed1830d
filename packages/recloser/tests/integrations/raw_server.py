"""A server that says byte for byte what a test tells it: real sockets, and the faults that servers cannot make."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias

CUT = "cut"
"""Step: close the connection."""
RESET = "reset"
"""Step: reset the connection."""
HANG = "hang"
"""Step: say nothing more until the server ends."""

Step: TypeAlias = bytes | str | Callable[[], object]
Reply: TypeAlias = list[Step]


def answer(status: int = 200, body: bytes = b"fine", *, length: int | None = None, **headers: str) -> bytes:
    """A response; `length` may lie about the body, and `_` in the names of headers is `-`."""
    lines = [f"HTTP/1.1 {status} Status", f"content-length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked_head(status: int = 200, **headers: str) -> bytes:
    """The head of a response whose body comes in chunks."""
    lines = [f"HTTP/1.1 {status} Status", "transfer-encoding: chunked"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk; an empty one ends the body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


END = chunk(b"")


@dataclass
class Request:
    """What the server was asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RawServer:
    """Answers each request with the next of `replies`, and when there is none left with `otherwise`."""

    replies: list[Reply] = field(default_factory=list)
    otherwise: Reply = field(default_factory=lambda: [answer()])
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            _close(connection)
        for thread in self._threads:
            thread.join(timeout=10)
            assert not thread.is_alive()

    def _run(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while (request := _read(stream)) is not None:
                    self.requests.append(request)
                    reply = self.replies.pop(0) if self.replies else self.otherwise
                    if not all(self._do(connection, step) for step in reply):
                        return
        except OSError:
            return
        finally:
            self._connections.discard(connection)

    def _do(self, connection: socket.socket, step: Step) -> bool:
        if isinstance(step, bytes):
            connection.sendall(step)
        elif callable(step):
            step()
        elif step == HANG:
            self._ended.wait(timeout=60)
            return False
        else:
            if step == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.shutdown(socket.SHUT_RDWR)
            return False
        return True


def _close(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the peer was faster


def _read(stream: BinaryIO) -> Request | None:
    line = stream.readline()
    if line.count(b" ") != 2:
        return None  # the end, or a body that the client did not finish
    method, target, _ = line.decode().split(" ")
    headers: dict[str, str] = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)
