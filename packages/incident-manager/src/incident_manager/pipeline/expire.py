"""Ending incidents whose sender repeats what still holds, and has stopped doing so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.domain.lifecycle import expire
from incident_manager.moments import now_of
from incident_manager.notify.pacing import pause
from incident_manager.pipeline.correlate import News
from incident_manager.pipeline.persist import enqueue
from incident_manager.pipeline.plan import NO_ASSESSMENT, AssessmentPlan
from incident_manager.pipeline.process import nobody
from incident_manager.pipeline.router import Router
from incident_manager.store.database import Store
from incident_manager.store.repository import UnitOfWork
from recloser import Clock

logger = logging.getLogger(__name__)

INTERVAL = 15.0
"""Seconds between two looks."""

BATCH = 100
"""Incidents resolved in one transaction at most."""


class Expiry:
    """Resolves incidents after their `expires_at`, unless this service may have missed the repetition.

    What holds is in the database, so a restart forgets nothing. But while the service was down, held up or without
    its database, senders could repeat nothing; it therefore waits `grace` after each such time before it resolves.

    Args:
        store: Where everything is kept.
        router: Who is told of an incident.
        clock: Time.
        grace: Seconds in which every sender repeats what still holds.
        on_enqueued: Called after a commit that enqueued notifications; it must not block.
        plan: What was found out about incidents, which decides how they are shown.
    """

    def __init__(
        self,
        store: Store,
        router: Router,
        clock: Clock,
        *,
        grace: float,
        on_enqueued: Callable[[], None] = nobody,
        plan: AssessmentPlan = NO_ASSESSMENT,
    ) -> None:
        self._store = store
        self._router = router
        self._clock = clock
        self._grace = grace
        self._on_enqueued = on_enqueued
        self._plan = plan
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._store_away = False
        self._reachable_since = self._last_look = clock.monotonic()

    async def start(self) -> None:
        """Look every `INTERVAL` from now on."""
        self._task = asyncio.create_task(self._run(), name="expire incidents")

    async def stop(self) -> None:
        """Finish the transaction under way, and end."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.step()
            except Exception:  # a fault of ours must not end this for good
                logger.exception("expired incidents could not be resolved")
            await pause(self._stopping, INTERVAL)

    async def step(self) -> int:
        """Look once.

        Returns:
            How many incidents were resolved.
        """
        now = self._clock.monotonic()
        if now - self._last_look > 4 * INTERVAL:  # the process, or its whole machine, stood still
            self._reachable_since = now
        self._last_look = now
        try:
            due = await self._store.read(lambda unit: unit.find_expired(self._now(), limit=1))
            self._store_away = False
            if not due or now - self._reachable_since < self._grace:
                return 0
            return await self._resolve_all()
        except StoreUnavailableError as error:
            self._reachable_since = now
            if not self._store_away:
                logger.warning("incidents do not expire for now: %s", error)
            self._store_away = True
            return 0

    async def _resolve_all(self) -> int:
        total = 0
        while not self._stopping.is_set() and (count := await self._resolve_some()):
            total += count
        return total

    async def _resolve_some(self) -> int:
        at = self._now()

        async def work(unit: UnitOfWork) -> tuple[int, int]:
            news = []
            for incident in await unit.find_expired(at, limit=BATCH):
                resolved, entries = expire(incident, at)
                await unit.update(resolved, incident.version)
                await unit.add_timeline(entries)
                news.append(News(NotificationEvent.RESOLVED, resolved))
            return len(news), await enqueue(unit, news, self._router, at, self._plan)

        count, enqueued = await self._store.run(work)
        if count:
            logger.info("%d incidents were resolved because their alerts were not repeated", count)
        if enqueued:
            self._on_enqueued()
        return count

    def _now(self) -> datetime:
        return now_of(self._clock)
