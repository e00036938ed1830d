"""The store: transactions on one database, behind one circuit breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.store.migrate import migrate
from incident_manager.store.outbox import Outbox
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.sqlite import BUSY_TIMEOUT, SqliteBackend
from incident_manager.store.turns import Turns
from recloser import CircuitBreaker, CircuitOpenError

T = TypeVar("T")
Work = Callable[[UnitOfWork], Awaitable[T]]

QUEUE_TIMEOUT = 10.0
"""Seconds a caller waits for its turn."""

_SOON = 1.0
_UNTIL_AN_OPERATOR_ACTS = 30.0


class Store:
    """Incidents, alerts, timelines and the outbox. Await `start` before and `close` after use.

    Args:
        url: `sqlite:///path/to/file.db`.
        breaker: Guards every transaction. Only what says that the database cannot be used counts as its failure; a
            conflict or a wrong statement is an answer of a healthy database.
        queue_timeout: Seconds a caller waits for its turn before it is told that the store is busy.
        busy_timeout: Seconds a transaction waits for another process that is writing.

    Attributes:
        outbox: The notifications that wait.

    Raises:
        ValueError: The URL is none of a database we know.
    """

    def __init__(
        self,
        url: str,
        breaker: CircuitBreaker,
        *,
        queue_timeout: float = QUEUE_TIMEOUT,
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> None:
        self.outbox = Outbox(self)
        self._backend = SqliteBackend(_sqlite_url(url), busy_timeout)
        self._breaker = breaker
        self._writing = Turns(self._backend.writers, queue_timeout)
        self._reading = Turns(self._backend.readers, queue_timeout)
        self._open = False

    async def start(self) -> None:
        """Make the database if there is none, and bring it to the present schema.

        Raises:
            StoreUnavailableError: It cannot be opened or written.
            StoreMigrationError: It was made by a later version.
        """
        try:
            await asyncio.to_thread(self._backend.prepare)
            async with self._backend.writer.begin() as connection:
                await connection.run_sync(migrate)
        except OSError as error:
            raise StoreUnavailableError(f"the database cannot be made: {error}", _SOON) from error
        except Exception as error:
            if not self._backend.is_unusable(error):
                raise
            raise StoreUnavailableError("the database cannot be opened", _SOON) from error
        self._open = True

    async def close(self) -> None:
        """Let the transactions under way end, and close every connection. Later use raises RuntimeError."""
        self._open = False
        await self._writing.all()
        await self._reading.all()
        await self._backend.writer.dispose()
        await self._backend.reader.dispose()

    async def run(self, work: Work[T]) -> T:
        """Do `work` in one transaction that may write: all of it is stored when this returns, or nothing if it raises.

        `work` must use the unit it is given and start no transaction of its own, since writers take turns.

        Raises:
            StoreUnavailableError: The database cannot be used, or the breaker holds callers off.
        """
        async with self._writing.one():
            return await self._transaction(self._backend.writer, work, changing=True)

    async def read(self, work: Work[T]) -> T:
        """Do `work` on one consistent state of the database. It cannot write.

        Raises:
            StoreUnavailableError: As for `run`.
        """
        async with self._reading.one():
            return await self._transaction(self._backend.reader, work, changing=False)

    async def _transaction(self, engine: AsyncEngine, work: Work[T], *, changing: bool) -> T:
        if not self._open:
            raise RuntimeError("the store is not open: await Store.start() before using it, and not after close()")
        try:
            permit = self._breaker.acquire()
        except CircuitOpenError as error:
            retry_after = _UNTIL_AN_OPERATOR_ACTS if error.retry_after is None else error.retry_after
            raise StoreUnavailableError("the database is held off by its circuit breaker", retry_after) from error
        try:
            async with engine.begin() as connection:
                result = await work(UnitOfWork(connection, changing=changing))
        except Exception as error:
            if not self._backend.is_unusable(error):
                permit.success()
                raise
            permit.failure(error)
            raise StoreUnavailableError("the database cannot be used", _SOON) from error
        except BaseException:
            permit.ignore()
            raise
        permit.success()
        return result


def _sqlite_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("the database URL cannot be read; give one such as sqlite:///data/incidents.db") from None
    if parsed.drivername not in ("sqlite", "sqlite+aiosqlite"):
        raise ValueError(
            f"database URL of {parsed.drivername}: only sqlite is known, as in sqlite:///data/incidents.db"
        )
    return parsed
