"""Forgetting kept answers that are too old."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.store.database import Store
from incident_manager.store.idempotency import KEPT_FOR, forget_answers
from recloser import Clock

logger = logging.getLogger(__name__)

EVERY = 600.0
"""Seconds between two sweeps."""


class IdempotencySweep:
    """Keeps the answers for idempotency keys from growing without bound. Await `start` before and `stop` after use.

    Args:
        store: Where they are kept.
        clock: Time.
        every: Seconds between two sweeps.
    """

    def __init__(self, store: Store, clock: Clock, every: float = EVERY) -> None:
        self._store = store
        self._clock = clock
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sweep from time to time from now on."""
        self._task = asyncio.create_task(self._work(), name="idempotency sweep")

    async def stop(self) -> None:
        """Sweep no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def sweep(self) -> int:
        """Sweep now; return how many answers went.

        Raises:
            StoreUnavailableError: Nothing was swept.
        """
        before = datetime.fromtimestamp(self._clock.time(), UTC) - timedelta(seconds=KEPT_FOR)
        return await self._store.run(lambda unit: forget_answers(unit, before))

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.sweep()
            except StoreUnavailableError:
                logger.debug("kept answers cannot be swept now")
            except Exception:
                logger.exception("kept answers could not be swept; trying again later")
