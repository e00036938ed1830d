"""What people do with incidents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import (
    Change,
    Edit,
    acknowledge,
    edit,
    open_by_hand,
    require_version,
    resolve,
)
from incident_manager.domain.severity import Severity
from incident_manager.moments import now_of
from incident_manager.pipeline.correlate import News
from incident_manager.pipeline.persist import enqueue, inquire
from incident_manager.pipeline.plan import NO_ASSESSMENT, AssessmentPlan
from incident_manager.pipeline.process import nobody
from incident_manager.pipeline.router import Router
from incident_manager.pipeline.witness import Witness
from incident_manager.store import groups
from incident_manager.store.database import Store
from incident_manager.store.repository import UnitOfWork
from recloser import Clock

UNSEEN = Witness()
"""Of changes that nobody watches."""


class IncidentActions:
    """Validated changes by people, each one transaction of incident, timeline and notifications.

    Every change raises `IncidentNotFoundError`, `InvalidTransitionError`, `VersionConflictError` (when it gives the
    version it was decided on, and that is not the present one), `StoreUnavailableError` or what its witness raises;
    then nothing is changed.

    Args:
        store: Where everything is kept.
        router: Who is told of an incident.
        clock: Time of the changes.
        on_enqueued: Called after a commit that enqueued notifications, or after which groups are to be looked at
            again; it must not block.
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

    async def create(
        self,
        *,
        title: str,
        severity: Severity,
        by: str,
        description: str = "",
        source: str = "manual",
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        assignee: str | None = None,
        witness: Witness = UNSEEN,
    ) -> Incident:
        """Open an incident that no alert reported."""
        at = self._now()
        incident, entries = open_by_hand(
            title=title,
            severity=severity,
            by=by,
            at=at,
            description=description,
            source=source,
            labels=labels,
            annotations=annotations,
            assignee=assignee,
        )

        async def work(unit: UnitOfWork) -> int:
            await witness.before(unit)
            await unit.insert(incident)
            await unit.add_timeline(entries)
            await inquire(unit, [incident], self._plan, at)
            await witness.after(unit, None, incident)
            news = [News(NotificationEvent.TRIGGERED, incident)]
            return await enqueue(unit, news, self._router, at, self._plan)

        if await self._store.run(work) or self._plan:
            self._on_enqueued()
        return incident

    async def patch(
        self,
        incident_id: str,
        changes: Edit,
        *,
        by: str,
        expected_version: int | None = None,
        witness: Witness = UNSEEN,
    ) -> Incident:
        """Apply an edit, as one version."""
        return await self.apply(
            incident_id, lambda old, at: edit(old, changes, by, at), expected_version=expected_version, witness=witness
        )

    async def acknowledge(
        self, incident_id: str, *, by: str, expected_version: int | None = None, witness: Witness = UNSEEN
    ) -> Incident:
        """Record that somebody has seen it; the first acknowledgement stays."""
        return await self.apply(
            incident_id, lambda old, at: acknowledge(old, by, at), expected_version=expected_version, witness=witness
        )

    async def resolve(
        self,
        incident_id: str,
        *,
        by: str,
        resolution: str | None = None,
        expected_version: int | None = None,
        witness: Witness = UNSEEN,
    ) -> Incident:
        """Resolve an open incident."""
        return await self.apply(
            incident_id,
            lambda old, at: resolve(old, by, at, resolution),
            expected_version=expected_version,
            witness=witness,
        )

    async def apply(
        self,
        incident_id: str,
        change: Callable[[Incident, datetime], Change],
        *,
        expected_version: int | None = None,
        witness: Witness = UNSEEN,
    ) -> Incident:
        """Apply a change that is made of the functions of `domain.lifecycle`.

        Args:
            incident_id: The incident.
            change: Given the incident and the time, returns the changed one and what to tell of it. Pure.
            expected_version: The version it was decided on, if it matters.
            witness: Watches it.
        """

        async def work(unit: UnitOfWork) -> tuple[Incident, bool]:
            await witness.before(unit)
            before = await unit.get(incident_id)
            witness.approve(before)
            require_version(before, expected_version)
            at = self._now()
            after, entries = change(before, at)
            is_due = False
            if after != before:
                await unit.update(after, before.version)
                await unit.add_timeline(entries)
                if after.severity is not before.severity:  # what others were spared because of it, they may be told
                    await groups.look_again(unit, [incident_id], at)
                    is_due = True
                is_due |= await enqueue(unit, _news(before, after), self._router, at, self._plan) > 0
            await witness.after(unit, before, after)
            return after, is_due

        incident, is_due = await self._store.run(work)
        if is_due:
            self._on_enqueued()
        return incident

    def _now(self) -> datetime:
        return now_of(self._clock)


def _news(before: Incident, after: Incident) -> list[News]:
    """Tell what of a change others have to know."""
    events = []
    if after.severity.worse_than(before.severity) and after.status.is_open:
        events.append(NotificationEvent.ESCALATED)
    if after.acknowledged_at != before.acknowledged_at:
        events.append(NotificationEvent.ACKNOWLEDGED)
    if before.status.is_open and not after.status.is_open:
        events.append(NotificationEvent.RESOLVED)
    return [News(event, after) for event in events]
