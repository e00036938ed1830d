"""The store: transactions on one database, behind one circuit breaker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.store.backend import backend_for
from incident_manager.store.migrate import Migrated, migrate
from incident_manager.store.outbox import Outbox
from incident_manager.store.postgres import Connections
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.sqlite import BUSY_TIMEOUT
from incident_manager.store.turns import Turns
from recloser import CircuitBreaker, CircuitOpenError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[UnitOfWork], Awaitable[T]]

QUEUE_TIMEOUT = 10.0
"""Seconds a caller waits for its turn."""

CONFLICT_ATTEMPTS = 5
"""Times that a transaction is run while the database keeps undoing it because of others."""

_SOON = 1.0
_CONFLICT_PAUSE = 0.05
_UNTIL_AN_OPERATOR_ACTS = 30.0


class Store:
    """Incidents, alerts, timelines and the outbox. Await `start` before and `close` after use.

    Args:
        url: `sqlite:///path/to/file.db` or `postgresql://user:password@host/database`.
        breaker: Guards every transaction. Only what says that the database cannot be used counts as its failure; a
            conflict or a wrong statement is an answer of a healthy database.
        queue_timeout: Seconds a caller waits for its turn before it is told that the store is busy.
        busy_timeout: Seconds a transaction of SQLite waits for another process that is writing.
        connections: How PostgreSQL is connected to.
        on_commit: Awaited after each commit that changed what people can see, before `run` returns. It must not raise.

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
        connections: Connections | None = None,
        on_commit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.outbox = Outbox(self)
        self._backend = backend_for(url, busy_timeout, connections or Connections())
        self._breaker = breaker
        self._writing = Turns(self._backend.writers, queue_timeout)
        self._reading = Turns(self._backend.readers, queue_timeout)
        self._on_commit = on_commit
        self._open = False
        self._starting = False

    @property
    def is_remote(self) -> bool:
        """Whether another machine may run the database, so that it may be away at a start and come back by itself."""
        return self._backend.is_remote

    @property
    def is_open(self) -> bool:
        """Whether the store was started, and not closed since."""
        return self._open

    async def start(self) -> Migrated:
        """Make the database if there is none, bring it to the present schema, and tell what that took.

        Several processes may start at once: one of them migrates, the others wait for it.

        Raises:
            StoreUnavailableError: It cannot be opened or written.
            StoreMigrationError: It was made by a later version.
        """
        self._starting = True
        try:
            await asyncio.to_thread(self._backend.prepare)
        except OSError as error:
            raise StoreUnavailableError(f"the database cannot be made: {error}", _SOON) from error
        try:
            async with self._backend.migrating() as connection:
                migrated = await connection.run_sync(migrate)
        except Exception as error:
            if not self._backend.is_unusable(error):
                raise
            raise StoreUnavailableError("the database cannot be opened", _SOON) from error
        self._open, self._starting = True, False
        return migrated

    async def close(self) -> None:
        """Let the transactions under way end, and close every connection. Later use raises RuntimeError."""
        self._open = self._starting = False
        await self._writing.all()
        await self._reading.all()
        await self._backend.dispose()

    async def migrate(self) -> Migrated:
        """Do what `start` does, and leave the store closed."""
        try:
            return await self.start()
        finally:
            await self.close()

    async def run(self, work: Work[T], *, visible: bool = True) -> T:
        """Do `work` in one transaction that may write: all of it is stored when this returns, or nothing if it raises.

        `work` must use the unit it is given and start no transaction of its own, since writers take turns. It is
        called again when the database undid it to let another transaction through.

        Args:
            work: What to do.
            visible: Whether it changes what people can see.

        Raises:
            StoreUnavailableError: The database cannot be used, or the breaker holds callers off. When the connection
                was lost during the commit, the work may be stored nevertheless.
        """
        result = await self._write(work)
        if visible and self._on_commit is not None:
            await self._on_commit()
        return result

    async def _write(self, work: Work[T]) -> T:
        async with self._writing.one():
            for _ in range(CONFLICT_ATTEMPTS):
                try:
                    return await self._transaction(self._backend.writing, work, changing=True)
                except DBAPIError as error:
                    if not self._backend.is_conflict(error):
                        raise
                    conflict = error
                logger.info("the database undid a transaction in favour of another one; running it again")
                await asyncio.sleep(random.uniform(0, _CONFLICT_PAUSE))  # noqa: S311 - so that the two do not meet again
            raise StoreUnavailableError("the database keeps preferring other transactions", _SOON) from conflict

    async def read(self, work: Work[T]) -> T:
        """Do `work` on one consistent state of the database. It cannot write.

        Raises:
            StoreUnavailableError: As for `run`.
        """
        async with self._reading.one():
            return await self._transaction(self._backend.reading, work, changing=False)

    async def _transaction(
        self, begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]], work: Work[T], *, changing: bool
    ) -> T:
        if self._starting and not self._open:
            raise StoreUnavailableError("the database has not been reached since the start", _SOON)
        if not self._open:
            raise RuntimeError("the store is not open: await Store.start() before using it, and not after close()")
        try:
            permit = self._breaker.acquire()
        except CircuitOpenError as error:
            retry_after = _UNTIL_AN_OPERATOR_ACTS if error.retry_after is None else error.retry_after
            raise StoreUnavailableError("the database is held off by its circuit breaker", retry_after) from error
        try:
            async with begin() as connection:
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
