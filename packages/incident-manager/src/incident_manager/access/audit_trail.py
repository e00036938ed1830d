"""Audit entries of what happens outside of the database: kept in memory until they can be written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.store.audit import AuditEntry, add_audit
from incident_manager.store.database import Store

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
RETRY_EVERY = 2.0
"""Seconds between two tries to write."""

PATIENCE = 1.0
"""Seconds a caller waits for its entry to be written."""


class AuditTrail:
    """Writes what an operator did to a circuit breaker, which must work while the database is away.

    Every entry goes to the log at once. It is then written to the store; what cannot be written waits in memory, the
    newest `MOST_WAITING` of it. Await `start` before and `stop` after use.

    Args:
        store: Where the audit log is.
        retry_every: Seconds between two tries.
    """

    def __init__(self, store: Store, retry_every: float = RETRY_EVERY) -> None:
        self._store = store
        self._retry_every = retry_every
        self._waiting: deque[AuditEntry] = deque()
        self._news = asyncio.Event()
        self._written = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Entries that are not written yet."""
        return len(self._waiting)

    async def start(self) -> None:
        """Write from now on."""
        self._task = asyncio.create_task(self._work(), name="audit trail")

    async def stop(self) -> None:
        """Write what waits, if that is possible now, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        try:
            await self._write()
        except StoreUnavailableError:
            logger.error("%d audit entries could not be written; they are in the log", len(self._waiting))

    async def add(self, entry: AuditEntry) -> None:
        """Take an entry. Returns when it is written, or after a moment: what was done must not wait for the store."""
        logger.info(
            "audit: %s by %s (token %s, %s): %s %s",
            entry.action,
            entry.actor,
            entry.token_id,
            entry.address,
            entry.target,
            entry.changes,
        )
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            logger.error("an audit entry is in the log only: %d wait for the database", MOST_WAITING)
        self._waiting.append(entry)
        self._news.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE), self._written:
                await self._written.wait_for(lambda: entry not in self._waiting)

    async def _work(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._write()
            except StoreUnavailableError:
                await asyncio.sleep(self._retry_every)
                self._news.set()
            except Exception:
                logger.exception("audit entries could not be written; trying again")
                await asyncio.sleep(self._retry_every)
                self._news.set()

    async def _write(self) -> None:
        while self._waiting:
            batch = list(self._waiting)
            await self._store.run(lambda unit, batch=batch: add_audit(unit, batch))  # type: ignore[misc]
            for entry in batch:
                if self._waiting and self._waiting[0] is entry:  # others may have been pushed out meanwhile
                    self._waiting.popleft()
            async with self._written:
                self._written.notify_all()
