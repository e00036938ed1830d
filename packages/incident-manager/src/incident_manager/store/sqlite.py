"""Everything that is particular to SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that is writing."""

READERS = 4
"""Connections for reading; SQLite in WAL mode reads while it writes."""

_WRITER = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON")
_READER = ("PRAGMA query_only = ON",)

#: Primary result codes that say the database cannot be used, against those that say a statement is wrong.
#: https://www.sqlite.org/rescode.html
_UNUSABLE = frozenset(
    {
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOTADB,
    }
)


class SqliteBackend:
    """Two pools on one file: a single connection that writes, and several that only read.

    Args:
        url: `sqlite:///relative/path` or `sqlite:////absolute/path`.
        busy_timeout: Seconds to wait for another process that is writing.

    Raises:
        ValueError: The URL names no file.
    """

    writers = 1
    """SQLite has one writer at a time: callers queue in the process instead of competing for the file's lock."""

    readers = READERS

    is_remote = False

    def __init__(self, url: URL, busy_timeout: float = BUSY_TIMEOUT) -> None:
        if not url.database or url.database == ":memory:" or url.query:
            raise ValueError(
                f"{url}: a database that outlives the process is needed, as in sqlite:///data/incidents.db"
            )
        self.path = Path(url.database)
        self._busy_timeout = busy_timeout
        self._writer = self._engine(url, _WRITER, "BEGIN IMMEDIATE", self.writers)
        self._reader = self._engine(url, _READER, "BEGIN", self.readers)

    def prepare(self) -> None:
        """Make the folder of the file.

        Raises:
            OSError: That is not possible.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that may write."""
        return self._writer.begin()

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that sees one consistent state and cannot write."""
        return self._reader.begin()

    def migrating(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that changes the schema; there is one writer, whatever it writes."""
        return self._writer.begin()

    async def dispose(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        await self._reader.dispose()

    def is_unusable(self, error: BaseException) -> bool:
        """Tell whether an error says that the database cannot be used now, and not that we used it wrongly."""
        if isinstance(error, exc.TimeoutError):  # no free connection
            return True
        if not isinstance(error, exc.DBAPIError):
            return False
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is None:  # the driver's own, such as a connection that is gone
            return isinstance(error, exc.OperationalError | exc.InterfaceError)
        return code & 0xFF in _UNUSABLE

    def is_conflict(self, error: BaseException) -> bool:
        """Tell whether a transaction was undone because of another one: never, writers take turns."""
        return False

    def _engine(self, url: URL, pragmas: tuple[str, ...], begin: str, connections: int) -> AsyncEngine:
        engine = create_async_engine(
            url.set(drivername="sqlite+aiosqlite"),
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self._busy_timeout,
            json_serializer=partial(json.dumps, separators=(",", ":")),
        )
        wait = f"PRAGMA busy_timeout = {round(self._busy_timeout * 1000)}"
        event.listen(engine.sync_engine, "connect", partial(_set_up, (wait, *pragmas)))
        event.listen(engine.sync_engine, "begin", partial(_begin, begin))
        return engine


def _set_up(pragmas: tuple[str, ...], connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver's own idea of when to begin would start writes as reads
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(pragma)
    cursor.close()


def _begin(statement: str, connection: Connection) -> None:
    connection.exec_driver_sql(statement)
