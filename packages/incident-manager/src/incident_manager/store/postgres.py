"""Everything that is particular to PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import event, exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

MIGRATION_TIMEOUT = 600.0
"""Seconds that the migrations may take, with the wait for another process that runs them."""

_RECYCLE = 1800
"""Seconds after which a connection is replaced, so that a server behind a name that moved is found."""

_SETTLED = 1.0
"""Seconds that the driver waits longer than the watch over the transaction, which is the gentler of the two."""

#: Any number will do, as long as it is ours and every replica uses the same.
_MIGRATION_LOCK = text("SELECT pg_advisory_xact_lock(5278465981170624)")
_UNLIMITED = text("SET LOCAL statement_timeout = 0")

#: Classes of error codes that say the server cannot serve us now; those of the others are its answer to a statement.
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNUSABLE_CLASSES = frozenset(
    {
        "08",  # connection
        "28",  # login refused
        "3D",  # no such database
        "53",  # out of memory, disk or connections
        "57",  # shut down, starting up, or a statement stopped because it took too long
        "58",  # system error
        "F0",
        "XX",  # corrupted
    }
)
_UNUSABLE = frozenset(
    {
        "25006",  # a replica of the database, which only reads
        "25P03",  # idle for too long within a transaction
        "42501",  # no privilege
        "55P03",  # a lock did not become free
    }
)
_CONFLICTS = frozenset({"40001", "40P01"})  # serialization failure, deadlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """How the database is connected to. Durations are seconds.

    Attributes:
        write_connections: Transactions that write, at once, of one process.
        read_connections: Transactions that read, at once, of one process.
        connect_timeout: To open a connection.
        transaction_timeout: For a whole transaction; one that takes longer is cut off, with its connection.
    """

    write_connections: int = 4
    read_connections: int = 4
    connect_timeout: float = 3.0
    transaction_timeout: float = 5.0


class PostgresBackend:
    """Two pools on one server: connections that write, and connections that only read.

    A server that hangs is noticed by time: every transaction is watched, and cut off with its connection when it
    takes too long. Whether one that was cut off during its commit is stored is then not known.

    Args:
        url: As libpq takes it: several hosts, `sslmode`, `target_session_attrs` and other parameters are understood.
        connections: How many, and how patient.

    Raises:
        ValueError: The URL cannot be read.
    """

    is_remote = True

    def __init__(self, url: str, connections: Connections) -> None:
        try:
            urlsplit(url)
        except ValueError:
            raise ValueError("the database URL cannot be read: its host is malformed") from None
        self.writers = connections.write_connections
        self.readers = connections.read_connections
        self._dsn = f"postgresql://{url.partition('://')[2]}"
        self._connections = connections
        self._writer = self._engine("READ COMMITTED", "off", self.writers)
        self._reader = self._engine("REPEATABLE READ", "on", self.readers)

    def prepare(self) -> None:
        """Nothing: the database is made by whoever runs the server."""

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write."""
        async with _watched(self._writer, self._connections.transaction_timeout) as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one consistent state and cannot write."""
        async with _watched(self._reader, self._connections.transaction_timeout) as connection:
            yield connection

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        """A transaction under a lock that only one process holds; replicas that start at once come one by one."""
        engine = self._engine("READ COMMITTED", "off", 1, MIGRATION_TIMEOUT)
        try:
            async with _watched(engine, MIGRATION_TIMEOUT) as connection:
                await connection.execute(_UNLIMITED)
                await connection.execute(_MIGRATION_LOCK)
                yield connection
        finally:
            await engine.dispose()

    async def dispose(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        await self._reader.dispose()

    def is_unusable(self, error: BaseException) -> bool:
        """Tell whether an error says that the database cannot be used now, and not that we used it wrongly."""
        if isinstance(error, exc.TimeoutError | TimeoutError | OSError):  # no free connection, or none to be had
            return True
        if not isinstance(error, exc.DBAPIError):
            return False
        code = _code(error)
        if code is not None:
            return code[:2] in _UNUSABLE_CLASSES or code in _UNUSABLE
        # The driver's own. A ValueError among them is about a parameter of ours, of a statement or of the URL. One
        # about its own state is met by who uses a connection in the moment in which the server ends it.
        cause = error.orig.__cause__ if error.orig else None
        if isinstance(cause, asyncpg.InternalClientError):
            return True
        return not isinstance(cause, ValueError) and isinstance(error, exc.OperationalError | exc.InterfaceError)

    def is_conflict(self, error: BaseException) -> bool:
        """Tell whether the server chose the transaction to end a deadlock, or could not put it into an order."""
        return isinstance(error, exc.DBAPIError) and _code(error) in _CONFLICTS

    def _engine(self, isolation: Any, read_only: str, size: int, timeout: float | None = None) -> AsyncEngine:
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=partial(self._connect, read_only, timeout or self._connections.transaction_timeout),
            isolation_level=isolation,
            pool_size=size,
            max_overflow=0,
            pool_timeout=self._connections.connect_timeout,
            pool_recycle=_RECYCLE,
            pool_use_lifo=True,
            json_serializer=partial(json.dumps, separators=(",", ":")),
        )
        event.listen(engine.sync_engine, "checkout", _refuse_closed)
        return engine

    async def _connect(self, read_only: str, timeout: float) -> Any:
        milliseconds = round(timeout * 1000)
        return await asyncpg.connect(
            self._dsn,
            timeout=self._connections.connect_timeout,
            command_timeout=timeout + _SETTLED,
            server_settings={
                "application_name": "incident-manager",
                "default_transaction_read_only": read_only,
                "statement_timeout": str(milliseconds),
                # What a frozen or vanished replica has locked is free again after these.
                "idle_in_transaction_session_timeout": str(2 * milliseconds),
                "tcp_keepalives_idle": "60",
                "jit": "off",
            },
        )


@asynccontextmanager
async def _watched(engine: AsyncEngine, timeout: float) -> AsyncIterator[AsyncConnection]:
    """A transaction whose connection is cut off after `timeout` seconds: all that waits for the server fails then."""
    watch: asyncio.TimerHandle | None = None
    try:
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert isinstance(driver, asyncpg.Connection)
            watch = asyncio.get_running_loop().call_later(timeout, driver.terminate)
            async with connection.begin():
                yield connection
    finally:
        if watch is not None:
            watch.cancel()


def _refuse_closed(connection: Any, *_: object) -> None:
    """Keep the pool from giving out a connection the server has closed; it opens another one."""
    if connection.driver_connection.is_closed():
        raise exc.DisconnectionError("the server has closed the connection")


def _code(error: exc.DBAPIError) -> str | None:
    """The server's error code, SQLSTATE; None for an error of the driver."""
    return getattr(error.orig, "sqlstate", None)
