"""Groups incidents off the way of alerts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from incident_manager.domain.errors import DuplicateGroupError, IncidentNotFoundError, StoreUnavailableError
from incident_manager.moments import now_of
from incident_manager.notify.backoff import Backoff
from incident_manager.notify.pacing import Pause, keep_on, pause
from incident_manager.pipeline.grouping import place
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.store import groups
from incident_manager.store.database import Store
from incident_manager.store.groups import GroupQueue
from incident_manager.store.leases import new_worker
from recloser import Clock

logger = logging.getLogger(__name__)

BATCH = 50
"""Incidents claimed at a time."""

LEASE = 30.0
"""Seconds that a claim lasts; each incident of it takes one short transaction."""

POLL = 15.0
"""Seconds without looking, at most: what other processes ask for rings no bell here."""

ATTEMPTS = 3
"""Times that an incident is tried at once while other processes begin the same group."""

_LEAST_WAIT = 0.2


class GroupingWorker:
    """Groups what waits, until stopped. Use `start` and `stop`, from one event loop.

    Any number of processes may do it at the same time. It also looks after what earlier processes left, whether there
    are rules or not, so that nothing stays held by a rule that is there no more.

    Args:
        store: Where incidents and groups are kept.
        plan: The rules, and how incidents are shown.
        clock: Time.
        on_released: Called after a commit that made notifications due; it must not block.
        pause: How to wait.
    """

    def __init__(
        self,
        store: Store,
        plan: AssessmentPlan,
        clock: Clock,
        on_released: Callable[[], None],
        pause: Pause = pause,
    ) -> None:
        self._queue = GroupQueue(store)
        self._store = store
        self._plan = plan
        self._clock = clock
        self._on_released = on_released
        self._pause = pause
        self._backoff = Backoff(base=1.0, maximum=15.0)
        self._worker = new_worker("group")
        self._rules_changed = True  # what an earlier process held, it held by its own rules
        self._is_troubled = False
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; what an earlier process left is done too."""
        self._task = asyncio.create_task(self._run(), name="group incidents")

    async def stop(self) -> None:
        """Finish the transaction under way, and give back what was claimed."""
        self._stopping.set()
        self._wake.set()
        if self._task is not None:
            await self._task
        try:
            await self._queue.release(self._worker)
        except StoreUnavailableError as error:
            logger.warning("the incidents claimed for grouping stay claimed until their lease ends: %s", error)

    def wake(self) -> None:
        """Look now: there are new incidents. To be called in the worker's event loop."""
        self._wake.set()

    def rules_changed(self) -> None:
        """Look again, now, at all that groups spare people. To be called in the worker's event loop."""
        self._rules_changed = True
        self._wake.set()

    async def _run(self) -> None:
        await keep_on(
            self.step,
            name="grouping",
            report=self._report,
            backoff=self._backoff,
            wake=self._wake,
            stopping=self._stopping,
            pause=self._pause,
        )

    def _report(self, problem: str | None) -> None:
        if problem is not None and not self._is_troubled:
            logger.warning("incidents are not grouped for now: %s", problem)
        self._is_troubled = problem is not None

    async def step(self) -> float:
        """Group what is due, a batch at most.

        Returns:
            Seconds after which to look again; 0 when there may be more.

        Raises:
            StoreUnavailableError: The store could not be read or written.
        """
        self._wake.clear()
        if self._rules_changed:
            self._rules_changed = False
            await self._reopen()
        claimed = await self._queue.claim(worker=self._worker, now=self._now(), lease=LEASE, limit=BATCH)
        for incident_id in claimed:
            if self._stopping.is_set():
                break
            await self._place(incident_id)
        if claimed:
            return 0.0
        due = await self._queue.next_due()
        if due is None:
            return POLL
        return min(max((due - self._now()).total_seconds(), _LEAST_WAIT), POLL)

    async def _reopen(self) -> None:
        at = self._now()
        try:
            await self._store.run(lambda unit: groups.reopen_held(unit, at), visible=False)
        except BaseException:
            self._rules_changed = True
            raise

    async def _place(self, incident_id: str) -> None:
        """Group one incident; what goes wrong with it alone is tried again when the lease ends."""
        try:
            released = await self._placed(incident_id)
        except (DuplicateGroupError, IncidentNotFoundError) as error:
            logger.info("the grouping of %s is put off: %s", incident_id, error)
        except StoreUnavailableError:
            raise
        except Exception:  # one incident must not keep the others from being grouped
            logger.exception("the grouping of %s met an unexpected error", incident_id)
        else:
            if released:
                self._on_released()

    async def _placed(self, incident_id: str) -> int:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._once(incident_id)
            except DuplicateGroupError:
                continue
        return await self._once(incident_id)

    async def _once(self, incident_id: str) -> int:
        at = self._now()
        return await self._store.run(lambda unit: place(unit, incident_id, self._worker, self._plan, at))

    def _now(self) -> datetime:
        return now_of(self._clock)
