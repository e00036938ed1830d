"""Forgetting, from time to time, what is too old."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from datetime import datetime, timedelta

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.domain.ids import new_id
from incident_manager.moments import now_of
from incident_manager.store.breaker_history import roll_up
from incident_manager.store.database import Store
from incident_manager.store.idempotency import KEPT_FOR, forget_answers
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.retention import (
    Forget,
    forget_audit,
    forget_breaker_history,
    forget_empty_groups,
    forget_incidents,
    forget_stray_alerts,
)
from recloser import Clock

logger = logging.getLogger(__name__)

EVERY = 600.0
"""Seconds between two sweeps."""

PAUSE = 0.05
"""Seconds between two batches, in which others may write."""

FINE = 86400.0
"""Seconds after which what the circuit breakers counted is put together by the hour."""


class Sweep(ABC):
    """Forgets something in the background. Await `start` before and `stop` after use.

    Args:
        store: Where it is kept.
        clock: Time.
        every: Seconds between two sweeps.
    """

    what: str
    """What is forgotten, for the log."""

    def __init__(self, store: Store, clock: Clock, every: float = EVERY) -> None:
        self._store = store
        self._clock = clock
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sweep from time to time from now on."""
        self._task = asyncio.create_task(self._work(), name=f"sweep of {self.what}")

    async def stop(self) -> None:
        """Sweep no more. A batch that is under way is undone or done as a whole."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    @abstractmethod
    async def sweep(self) -> int:
        """Sweep now; return how much went.

        Raises:
            StoreUnavailableError: The rest is left for another time.
        """

    def _ago(self, seconds: float) -> datetime:
        return now_of(self._clock) - timedelta(seconds=seconds)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                gone = await self.sweep()
                if gone:
                    logger.debug("%d of %s are forgotten", gone, self.what)
            except StoreUnavailableError:
                logger.debug("%s cannot be swept now", self.what)
            except Exception:
                logger.exception("%s could not be swept; trying again later", self.what)


class IdempotencySweep(Sweep):
    """Keeps the answers for idempotency keys from growing without bound."""

    what = "kept answers"

    async def sweep(self) -> int:
        """Sweep now; return how many answers went."""
        before = self._ago(KEPT_FOR)
        return await self._store.run(lambda unit: forget_answers(unit, before), visible=False)


class RetentionSweep(Sweep):
    """Forgets incidents that ended long ago, with all that belongs to them, old audit entries and old breaker history.

    It works in small transactions, so that alerts need not wait for it. Several replicas may do it at once.

    Args:
        store: Where they are kept.
        clock: Time.
        incidents: Seconds that an incident is kept after its end; None for ever.
        audit: Seconds that an entry of the audit log is kept; None for ever.
        breakers: Seconds that the history of the circuit breakers is kept; None for ever.
        every: Seconds between two sweeps.
    """

    what = "old incidents, audit entries and breaker history"

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        incidents: float | None,
        audit: float | None,
        breakers: float | None = None,
        every: float = EVERY,
    ) -> None:
        super().__init__(store, clock, every)
        self._incidents = incidents
        self._audit = audit
        self._breakers = breakers

    async def sweep(self) -> int:
        """Sweep now; return how many rows went."""
        gone = 0
        if self._incidents is not None:
            gone += await self._all(forget_incidents, self._ago(self._incidents))
            gone += await self._all(forget_empty_groups, self._ago(self._incidents))
            gone += await self._all(forget_stray_alerts, self._ago(self._incidents))
        if self._audit is not None:
            gone += await self._all(forget_audit, self._ago(self._audit))
        if self._breakers is not None:
            gone += await self._all(forget_breaker_history, self._ago(self._breakers))
        await self._all(self._roll_up, self._ago(FINE))
        return gone

    async def _roll_up(self, unit: UnitOfWork, before: datetime) -> int:
        return await roll_up(unit, before, new_id("run", self._ago(0)))

    async def _all(self, forget: Forget, before: datetime) -> int:
        """Forget batch after batch, until nothing is left to be forgotten."""
        gone = 0
        while batch := await self._store.run(lambda unit: forget(unit, before)):
            gone += batch
            await asyncio.sleep(PAUSE)
        return gone
