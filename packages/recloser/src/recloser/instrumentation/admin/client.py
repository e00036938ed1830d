"""The operator's side of the admin sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recloser.instrumentation.admin.folder import Socket, sockets

PATIENCE = 5.0
"""Seconds to wait for an answer."""

MAX_ANSWER = 64 * 1_024 * 1_024
"""Bytes of an answer."""


class AdminError(Exception):
    """A process could not be asked, or refused; the text says which and why."""


def find(folder: Path, *, pid: int | None = None, run: int | None = None) -> list[Socket]:
    """The sockets of one process, of one run, or of all."""
    chosen = [each for each in sockets(folder) if pid in (None, each.pid) and run in (None, each.run)]
    return [each for each in chosen if _listens(each.path)]


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a process to a request.

    Raises:
        AdminError: It cannot be reached, does not answer in time, or refuses.
    """
    try:
        answer = _converse(path, json.dumps(request).encode() + b"\n")
    except OSError as error:
        raise AdminError(f"{path}: {error.strerror or error}") from None
    try:
        parsed = json.loads(answer)
    except ValueError:
        raise AdminError(f"{path}: the answer is not complete") from None
    if not isinstance(parsed, dict) or not parsed.get("ok"):
        raise AdminError(f"{path}: {parsed.get('error') if isinstance(parsed, dict) else parsed}")
    return parsed


def _converse(path: Path, request: bytes) -> bytes:
    deadline = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        connection.sendall(request)
        chunks: list[bytes] = []
        size = 0
        while not (chunks and chunks[-1].endswith(b"\n")):
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            chunk = connection.recv(65_536)
            size += len(chunk)
            if not chunk or size > MAX_ANSWER:
                break
            chunks.append(chunk)
        return b"".join(chunks)


def _listens(path: Path) -> bool:
    """Whether somebody is there. A socket of a process that has ended, and whose number another one has, is removed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                path.unlink()
            return False
        except OSError:
            return False
    return True


def runs_of(found: Iterable[Socket]) -> list[int]:
    """The runs that these sockets belong to, each once."""
    return sorted({each.run for each in found})
