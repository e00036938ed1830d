"""Opening a store whose database may be away when the service starts."""

from __future__ import annotations

import asyncio
import logging

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.store.database import Store

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two tries."""


class Opening:
    """Starts a store, and keeps trying in the background while its database is away.

    Args:
        store: Not started.
        patience: Seconds that a start of the service waits for it.
    """

    def __init__(self, store: Store, patience: float = 5.0) -> None:
        self._store = store
        self._patience = patience
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when the store is open, or when its database is away and may come back.

        Raises:
            StoreUnavailableError: The database is a file of ours: nobody else will repair it.
            StoreMigrationError: It was made by a later version.
        """
        attempt = asyncio.create_task(self._open(), name="opening of the database")
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(attempt)
        except StoreUnavailableError as error:
            if not self._store.is_remote:
                raise
            logger.error("the database is away, alerts go into the journal: %s (%s)", error, error.__cause__)
        except TimeoutError:
            logger.error("the database does not answer, alerts go into the journal")
        else:
            return
        self._task = asyncio.create_task(self._keep_trying(attempt), name="opening of the database, again")

    async def _open(self) -> None:
        migrated = await self._store.start()
        if migrated.before != migrated.after:
            logger.info("the database was brought from schema %s to %s", migrated.before or "none", migrated.after)

    async def _keep_trying(self, attempt: asyncio.Task[None]) -> None:
        told = ""
        while True:
            try:
                await attempt
            except Exception as error:  # noqa: BLE001 - whatever it is, an operator may mend it without a restart
                if str(error) != told:
                    told = str(error)
                    logger.error("the database cannot be opened: %s (%s)", error, error.__cause__)
            else:
                logger.info("the database is back")
                return
            await asyncio.sleep(PAUSE)
            attempt = asyncio.create_task(self._open(), name="opening of the database")

    async def stop(self) -> None:
        """Try no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
