"""A real HTTP server that a test controls: it records requests, answers by a script, hangs, closes and refuses."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer.

    Args:
        status: HTTP status.
        headers: More headers.
        body: The body.
        hang: Never answer; the connection ends when the receiver does.
        close: Close the connection without a word.
        after: Answer when this event is set.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    hang: bool = False
    close: bool = False
    after: asyncio.Event | None = None


HANG = Reply(hang=True)
CLOSE = Reply(close=True)


@dataclass(frozen=True)
class Received:
    """One request as it came in; header names are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None

    def json(self) -> Any:
        return json.loads(self.body)


class HttpReceiver:
    """Listens on 127.0.0.1, on a free port that it keeps over `refuse` and `listen`.

    Answers come from `script`, one a request, then from `default`.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.script: deque[Reply] = deque()
        self.default = Reply()
        self.port = 0
        self._tls = tls
        self._names: dict[ssl.SSLObject, str | None] = {}
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        if tls is not None:
            tls.sni_callback = self._note_server_name

    async def __aenter__(self) -> HttpReceiver:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.refuse()

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}/hook"

    async def listen(self) -> None:
        """Accept connections, again on the same port after `refuse`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Close every connection and refuse new ones."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def received(self, count: int, seconds: float = 10.0) -> list[Received]:
        """Wait until `count` requests have come in, and return them all."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    def _note_server_name(self, tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self._names[tls] = name

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        except asyncio.CancelledError:
            pass  # refuse() ended the connection; asyncio would report a cancelled handler as an error
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; False when the connection is at its end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        name = self._names.get(writer.get_extra_info("ssl_object"))
        async with self._changed:
            self.requests.append(Received(method, target, headers, body, name))
            reply = self.script.popleft() if self.script else self.default
            self._changed.notify_all()
        if reply.hang:
            await asyncio.Event().wait()
        if reply.after is not None:
            await reply.after.wait()
        if reply.close:
            return False
        fields = {"content-length": str(len(reply.body)), **reply.headers}
        lines_out = [f"HTTP/1.1 {reply.status} Scripted", *(f"{key}: {value}" for key, value in fields.items())]
        body_out = b"" if reply.status == 204 else reply.body
        writer.write("\r\n".join(lines_out).encode() + b"\r\n\r\n" + body_out)
        await writer.drain()
        return True
