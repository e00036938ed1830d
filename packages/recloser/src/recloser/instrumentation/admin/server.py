"""The admin socket of this process: one thread, one short conversation at a time, none that can last.

A conversation is one line of JSON each way. The thread does not exist at the moment of a fork, so that forking stays
what it is for a program without threads; it goes on in the parent, and the child has a socket of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recloser.instrumentation.admin.folder import path_of, prepare, sockets

logger = logging.getLogger("recloser")

MAX_REQUEST = 65_536
"""Bytes of a request."""

PATIENCE = 2.0
"""Seconds that one conversation may take."""

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class AdminServer:
    """Answers requests on a socket that only this user can open.

    Args:
        folder: Where the socket is made.
        run: The run that this process belongs to.
        answer: Makes the answer to a request.
    """

    def __init__(self, folder: Path, run: int, answer: Answer) -> None:
        self._folder = folder
        self._run = run
        self._answer = answer
        self._listener: socket.socket | None = None
        self._path: Path | None = None
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None
        self.lock = threading.RLock()
        _servers.add(self)

        # `lock` is held over a fork, so that no other thread forks while the thread is about to begin or end.

    @property
    def path(self) -> Path | None:
        """Where it listens; None when it does not."""
        return self._path

    def start(self) -> None:
        """Listen. A problem is logged: without its admin socket the program runs all the same."""
        try:
            prepare(self._folder)
            sockets(self._folder)  # removes those of dead processes
            self._listen(path_of(self._folder, self._run, os.getpid()))
        except Exception as error:  # noqa: BLE001 - whatever keeps it from listening
            logger.warning("no admin socket for process %d: %s", os.getpid(), error)
            return
        self.resume()

    def stop(self) -> None:
        """Stop listening, and remove the socket."""
        self.pause()
        self._forget(remove=True)

    def pause(self) -> None:
        """Let the thread end; who connects meanwhile waits for `resume`."""
        with self.lock:
            thread, wake = self._thread, self._wake
            if thread is None or wake is None or thread is threading.current_thread():
                return
            wake[1].send(b"x")
            thread.join(timeout=2 * PATIENCE)
            self._thread = None
            self._close_wake()

    def resume(self) -> None:
        """Answer again."""
        with self.lock:
            if self._listener is None or self._thread is not None:
                return
            self._wake = wake = socket.socketpair()
            conversations = _Conversations(self._listener, wake[0], self._answer)
            self._thread = threading.Thread(target=conversations.serve, name="recloser admin socket", daemon=True)
            self._thread.start()

    def after_fork(self) -> None:
        """In a forked child: the socket is the parent's; this process gets its own."""
        self.lock = threading.RLock()
        listening = self._listener is not None
        self._thread = None
        self._close_wake()
        self._forget(remove=False)
        if listening:
            self.start()

    def _listen(self, path: Path) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(OSError):  # on Linux the file then never has another mode; others refuse
                os.fchmod(listener.fileno(), 0o600)
            # Under its own name only when it answers: who is refused takes it for a dead process's, and removes it.
            new = path.with_suffix(".new")
            with contextlib.suppress(FileNotFoundError):
                new.unlink()  # of an earlier process with this number
            listener.bind(str(new))
            os.chmod(new, 0o600)
            listener.listen(8)
            listener.setblocking(False)
            new.rename(path)
        except BaseException:
            listener.close()
            raise
        self._listener, self._path = listener, path

    def _forget(self, *, remove: bool) -> None:
        if self._listener is not None:
            self._listener.close()
        if remove and self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._listener = self._path = None

    def _close_wake(self) -> None:
        for end in self._wake or ():
            end.close()
        self._wake = None


class _Conversations:
    """What the thread does. It holds its own ends, whatever becomes of the server meanwhile."""

    def __init__(self, listener: socket.socket, wake: socket.socket, answer: Answer) -> None:
        self._listener = listener
        self._wake = wake
        self._answer = answer

    def serve(self) -> None:
        """Answer one after the other until woken."""
        while self._ready([self._listener], [], None):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # it has given up already, or there are no more file descriptors
                time.sleep(0.01)
                continue
            with connection:
                try:
                    self._converse(connection, time.monotonic() + PATIENCE)
                except OSError:  # it has hung up
                    continue

    def _converse(self, connection: socket.socket, deadline: float) -> None:
        connection.setblocking(False)
        line = b""
        while not line.endswith(b"\n"):
            if len(line) > MAX_REQUEST or not self._ready([connection], [], deadline):
                return
            chunk = connection.recv(4_096)
            if not chunk:
                return
            line += chunk
        answer = memoryview(json.dumps(self._answered(line)).encode() + b"\n")
        while answer and self._ready([], [connection], deadline):
            answer = answer[connection.send(answer) :]

    def _answered(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise TypeError("a request is a JSON object on one line")
            return self._answer(request)
        except Exception as error:  # noqa: BLE001 - who asks must hear of it; the program must not
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}

    def _ready(self, reading: list[socket.socket], writing: list[socket.socket], deadline: float | None) -> bool:
        """Wait until one is ready; False when it is time to end, or too late."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for each in reading:
            poll.register(each, select.POLLIN)
        for each in writing:
            poll.register(each, select.POLLOUT)
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1_000
        ready = {descriptor for descriptor, _ in poll.poll(timeout)}
        return bool(ready) and self._wake.fileno() not in ready


_servers: weakref.WeakSet[AdminServer] = weakref.WeakSet()
_forking: list[AdminServer] = []


def _before_fork() -> None:
    for server in list(_servers):
        server.lock.acquire()
        _forking.append(server)
        server.pause()


def _after_fork_in_parent() -> None:
    while _forking:
        server = _forking.pop()
        server.resume()
        server.lock.release()


def _after_fork_in_child() -> None:
    while _forking:
        _forking.pop().after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
