"""What the store needs of a database, and which database a URL means."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection

from incident_manager.store.postgres import Connections, PostgresBackend
from incident_manager.store.sqlite import SqliteBackend

EXAMPLES = "sqlite:///data/incidents.db or postgresql://user:password@host/database"


class Backend(Protocol):
    """One kind of database.

    Attributes:
        writers: Transactions that may write, at once.
        readers: Transactions that only read, at once.
        is_remote: Another machine may run it, so it may be away while we start, and come back by itself.
    """

    writers: int
    readers: int
    is_remote: bool

    def prepare(self) -> None:
        """Make what must exist before a connection can be. Raises OSError."""
        ...

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that may write: committed at the end of the block, undone when it raises."""
        ...

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that sees one consistent state and cannot write."""
        ...

    def migrating(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that changes the schema, and that no other process runs at the same time."""
        ...

    async def dispose(self) -> None:
        """Close every connection; the next use opens new ones."""
        ...

    def is_unusable(self, error: BaseException) -> bool:
        """Tell whether an error says that the database cannot be used now, and not that we used it wrongly."""
        ...

    def is_conflict(self, error: BaseException) -> bool:
        """Tell whether the database undid a transaction because of another one, so that it may be run again."""
        ...


def backend_for(url: str, busy_timeout: float, connections: Connections) -> Backend:
    """The backend that a URL means.

    Raises:
        ValueError: None does, or the URL cannot be read. The text does not hold its password.
    """
    scheme = url.partition("://")[0]
    if scheme in ("postgresql", "postgres", "postgresql+asyncpg"):
        return PostgresBackend(url, connections)
    parsed = _parsed(url)
    if parsed.drivername not in ("sqlite", "sqlite+aiosqlite"):
        raise ValueError(f"database URL of {parsed.drivername}: only sqlite and postgresql are known, as in {EXAMPLES}")
    return SqliteBackend(parsed, busy_timeout)


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise ValueError(f"the database URL cannot be read; give one such as {EXAMPLES}") from None
