"""The pipeline of alerts, composed of its steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from incident_manager.domain.alert import Alert
from incident_manager.domain.errors import DuplicateAlertError, DuplicateOpenIncidentError
from incident_manager.domain.ids import is_event_id
from incident_manager.moments import now_of
from incident_manager.pipeline import persist
from incident_manager.pipeline.coalesce import Coalescer
from incident_manager.pipeline.correlate import Accepted, Correlation
from incident_manager.pipeline.order import order_of
from incident_manager.pipeline.plan import NO_ASSESSMENT, AssessmentPlan
from incident_manager.pipeline.router import Router
from incident_manager.store.database import Store, Work
from incident_manager.store.repository import UnitOfWork
from recloser import Clock

T = TypeVar("T")

logger = logging.getLogger(__name__)

GROUP_LIMIT = 500
"""Alerts of different requests that share one transaction at most."""

ATTEMPTS = 3
"""Transactions tried for one group while other processes keep opening the incidents it is about to open."""


def nobody() -> None:
    """Wake nobody."""


class AlertPipeline:
    """Turns alerts into incidents: order, correlate, announce, persist.

    Args:
        store: Where everything is kept.
        router: Who is told of an incident.
        clock: Time of enqueueing.
        on_enqueued: Called after a commit that enqueued notifications; it must not block.
        plan: What is to be found out about new incidents.
    """

    def __init__(
        self,
        store: Store,
        router: Router,
        clock: Clock,
        on_enqueued: Callable[[], None] = nobody,
        plan: AssessmentPlan = NO_ASSESSMENT,
    ) -> None:
        self._store = store
        self._router = router
        self._clock = clock
        self._on_enqueued = on_enqueued
        self._plan = plan
        self._requests: Coalescer[Sequence[Alert], list[Accepted]] = Coalescer(
            self._accept_all, weigh=len, limit=GROUP_LIMIT
        )

    async def accept(self, alerts: Sequence[Alert]) -> list[Accepted]:
        """Store the alerts of one request and all that follows from them, in one transaction.

        When this returns, they are on disk; when it raises, none of them is. Requests that arrive while another one
        is being written share a transaction.

        Returns:
            What became of each alert, in the order given.

        Raises:
            StoreUnavailableError: Nothing could be stored now; the sender should try again.
        """
        return await self._requests.submit(alerts) if alerts else []

    async def _accept_all(self, requests: Sequence[Sequence[Alert]]) -> list[list[Accepted]]:
        return await self._run(lambda unit: self._work(unit, requests))

    async def replay(self, alerts: Sequence[Alert]) -> None:
        """Store alerts that were received earlier, in the order given, and some of which may be stored already.

        Each counts once. One that was overtaken by the end of its trouble goes to the incident that ended.

        Raises:
            StoreUnavailableError: Nothing could be stored now, or it is not known whether it was.
            DuplicateOpenIncidentError: Other processes kept opening the incidents; nothing was stored.
        """
        await self._run(lambda unit: self._work_late(unit, alerts))

    async def _run(self, work: Work[tuple[T, int]]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                result, enqueued = await self._store.run(work)
                break
            except (DuplicateOpenIncidentError, DuplicateAlertError) as error:
                # Another process stored it between our look-up and our insert; the next look-up finds it.
                if attempt == ATTEMPTS:
                    raise
                logger.info("another process was faster, looking again: %s", error)
        if enqueued or self._plan:
            self._on_enqueued()
        return result

    async def _work(self, unit: UnitOfWork, requests: Sequence[Sequence[Alert]]) -> tuple[list[list[Accepted]], int]:
        fingerprints = {alert.fingerprint for alerts in requests for alert in alerts}
        events = [alert.id for alerts in requests for alert in alerts if is_event_id(alert.id)]
        open_incidents = await unit.find_all_open(fingerprints)
        correlation = Correlation.starting_from(
            open_incidents, await unit.known_alerts(events), catalog=self._plan.catalog
        )
        outcomes = [_correlate(correlation, alerts) for alerts in requests]
        return outcomes, await persist.write(unit, correlation, self._router, self._now(), self._plan)

    async def _work_late(self, unit: UnitOfWork, alerts: Sequence[Alert]) -> tuple[None, int]:
        known = await unit.known_alerts({alert.id for alert in alerts})
        new = [alert for alert in alerts if alert.id not in known]
        if not new:
            return None, 0
        fingerprints = {alert.fingerprint for alert in new}
        present = await unit.find_all_open(fingerprints)
        endings = await unit.find_endings(fingerprints - present.keys(), min(alert.received_at for alert in new))
        correlation = Correlation.starting_from(present, endings=endings, catalog=self._plan.catalog)
        for alert in new:
            correlation.add(alert)
        return None, await persist.write(unit, correlation, self._router, self._now(), self._plan)

    def _now(self) -> datetime:
        return now_of(self._clock)


def _correlate(correlation: Correlation, alerts: Sequence[Alert]) -> list[Accepted]:
    accepted = {index: correlation.add(alerts[index]) for index in order_of(alerts)}
    return [accepted[index] for index in range(len(alerts))]
