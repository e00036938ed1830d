"""The folder of admin sockets: one per process, `RUN-PID.sock`, where RUN is the first process of a run."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"(\d+)-(\d+)\.(sock|new)")
_LONGEST_PATH = 107  # of a Unix domain socket: Linux's sun_path has 108 bytes with the end marker, macOS's 104


class FolderError(Exception):
    """A folder cannot hold admin sockets; the text says why."""


class Socket(NamedTuple):
    """The admin socket of a process.

    Attributes:
        path: Where it is.
        run: The run that the process belongs to.
        pid: The process.
    """

    path: Path
    run: int
    pid: int


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's own folder: below `XDG_RUNTIME_DIR`, else below that of temporary files."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        return Path(runtime, "recloser")
    user = os.geteuid() if hasattr(os, "geteuid") else "user"
    return Path(tempfile.gettempdir(), f"recloser-{user}")


def prepare(folder: Path) -> Path:
    """Make the folder if there is none, for its owner only.

    Raises:
        FolderError: It cannot be made, others can write to it or own it, or its path is too long for a socket.
    """
    length = len(os.fsencode(str(folder.absolute() / "4194304-4194304.sock")))
    if length > _LONGEST_PATH:
        problem = f"the path of a socket in it would have {length} bytes, and {_LONGEST_PATH} are the most"
        raise FolderError(problem)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.lstat(folder)
    except OSError as error:
        raise FolderError(f"cannot be a folder of sockets: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise FolderError("is not a folder (a link to one is not taken either)")
    if found.st_uid != os.geteuid():
        raise FolderError(f"belongs to the user {found.st_uid}, not to this one ({os.geteuid()})")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise FolderError(f"others may write to it (mode {stat.S_IMODE(found.st_mode):o}): chmod 700")
    return folder


def path_of(folder: Path, run: int, pid: int) -> Path:
    """Where the socket of a process is. Until somebody listens on it, it is called `.new`: see `sockets`."""
    return folder / f"{run}-{pid}.sock"


def sockets(folder: Path) -> list[Socket]:
    """The sockets of living processes. Those of dead ones are removed."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        socket = Socket(folder / name, int(match[1]), int(match[2]))
        if _lives(socket.pid):
            found += [socket] if match[3] == "sock" else []
        else:
            with contextlib.suppress(OSError):  # another process removes it, too
                socket.path.unlink()
    return found


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
