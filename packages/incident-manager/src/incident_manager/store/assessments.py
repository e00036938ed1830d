"""The assessments that wait to be made, and what was found.

Several workers, in one process or in many, share them by leases, as they share the outbox.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, Update, bindparam, func, insert, select, update

from incident_manager.domain.assessment import Assessment, Finding, Job
from incident_manager.store import leases
from incident_manager.store.repository import UnitOfWork, chunks
from incident_manager.store.schema import IS_TO_BE_ASSESSED, assessments

if TYPE_CHECKING:
    from incident_manager.store.database import Store

_CLAIM = leases.claiming(assessments, assessments.c.sequence, IS_TO_BE_ASSESSED, *assessments.c)
_KEEP = (
    update(assessments)
    .where(
        assessments.c.incident_id == bindparam("of_incident"),
        assessments.c.job == bindparam("of_job"),
        assessments.c.leased_by == bindparam("worker"),
    )
    .values(found_by=bindparam("by"), is_fallback=bindparam("fallback"), data=bindparam("found"))
)
_SETTLE = _KEEP.values(
    is_pending=bindparam("pending"),
    attempts=assessments.c.attempts + bindparam("counted"),
    next_attempt_at=bindparam("next_at"),
    **leases.FREE,
)
_OF_INCIDENT = (
    select(assessments).where(assessments.c.incident_id == bindparam("of_incident")).order_by(assessments.c.sequence)
)
_FINDINGS = (
    select(assessments)
    .where(
        assessments.c.incident_id.in_(bindparam("of_incidents", expanding=True)), assessments.c.found_by.is_not(None)
    )
    .order_by(assessments.c.sequence)
)
_RELEASE = leases.releasing(assessments)
_HASTEN = (
    update(assessments)
    .where(
        assessments.c.job.in_(bindparam("of_jobs", expanding=True)),
        assessments.c.leased_by.is_(None),
        assessments.c.next_attempt_at > bindparam("to"),
        IS_TO_BE_ASSESSED,
    )
    .values(next_attempt_at=bindparam("to"))
)
_NEXT_DUE = leases.next_due(assessments, IS_TO_BE_ASSESSED)
_WAITING = select(assessments.c.job, func.count().label("waiting")).where(IS_TO_BE_ASSESSED).group_by(assessments.c.job)


@dataclass(frozen=True, slots=True)
class Settled:
    """A finding to be kept.

    Attributes:
        pending_until: When the service is to be asked again; None if it need not be.
        is_running: The service is being asked still, and the lease goes on.
    """

    finding: Finding
    pending_until: datetime | None = None
    is_running: bool = False


async def add(unit: UnitOfWork, incident_ids: Iterable[str], jobs: Collection[Job], at: datetime) -> None:
    """Ask for the jobs to be done for new incidents, within the transaction that stores them."""
    rows: list[dict[str, Any]] = [
        {
            "incident_id": incident_id,
            "job": job.value,
            "is_fallback": False,
            "data": {},
            "is_pending": True,
            "attempts": 0,
            "created_at": at,
            "next_attempt_at": at,
        }
        for incident_id in incident_ids
        for job in jobs
    ]
    if rows:
        await unit.connection.execute(insert(assessments), rows)


async def findings_of(unit: UnitOfWork, incident_ids: Collection[str]) -> Mapping[str, Sequence[Finding]]:
    """Return what is known of several incidents, by incident."""
    found: dict[str, list[Finding]] = {}
    for some in chunks(sorted(incident_ids)):
        for row in await unit.connection.execute(_FINDINGS, {"of_incidents": some}):
            finding = _to_assessment(row).finding
            if finding is not None:
                found.setdefault(row.incident_id, []).append(finding)
    return found


async def of_incident(unit: UnitOfWork, incident_id: str) -> Sequence[Assessment]:
    """Return the assessments of an incident."""
    rows = await unit.connection.execute(_OF_INCIDENT, {"of_incident": incident_id})
    return [_to_assessment(row) for row in rows]


async def settle(unit: UnitOfWork, incident_id: str, worker: str, settled: Settled, at: datetime) -> bool:
    """Keep a finding.

    Returns:
        Whether the worker still had the lease; without it nothing is changed.
    """
    statement = _KEEP if settled.is_running else _SETTLE
    values: dict[str, Any] = {
        "of_incident": incident_id,
        "of_job": settled.finding.job.value,
        "worker": worker,
        "by": settled.finding.by,
        "fallback": settled.finding.is_fallback,
        "found": settled.finding.data,
    }
    if not settled.is_running:
        again = settled.pending_until is not None
        values |= {"pending": again, "counted": int(again), "next_at": settled.pending_until or at}
    return bool((await unit.connection.execute(statement, values)).rowcount)


class AssessmentQueue:
    """Claiming what waits to be assessed. Every method may raise `StoreUnavailableError`.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def claim(self, *, worker: str, now: datetime, lease: float, limit: int) -> Sequence[Assessment]:
        """Lease up to `limit` assessments that are due, for `lease` seconds; the longest due first."""
        values = {"worker": worker, "now": now, "until": now + timedelta(seconds=lease), "most": limit}

        async def work(unit: UnitOfWork) -> list[Assessment]:
            rows = (await unit.connection.execute(_CLAIM, values)).all()
            return [_to_assessment(row) for row in sorted(rows, key=lambda row: row.sequence)]

        return await self._store.run(work)

    async def release(self, worker: str) -> None:
        """End every lease of the worker."""
        await self._change(_RELEASE, worker=worker)

    async def hasten(self, jobs: Collection[Job], at: datetime) -> None:
        """Make what waits for these jobs due at `at`, if it is due later."""
        await self._change(_HASTEN, of_jobs=[job.value for job in jobs], to=at)

    async def next_due(self) -> datetime | None:
        """Return when the next assessment can be claimed; None when none waits."""

        async def work(unit: UnitOfWork) -> datetime | None:
            due: datetime | None = await unit.connection.scalar(_NEXT_DUE)
            return due

        return await self._store.read(work)

    async def waiting(self) -> dict[str, int]:
        """Return how many assessments wait for their service, by job."""

        async def work(unit: UnitOfWork) -> dict[str, int]:
            return {row.job: row.waiting for row in await unit.connection.execute(_WAITING)}

        return await self._store.read(work)

    async def _change(self, statement: Update, **values: Any) -> None:
        async def work(unit: UnitOfWork) -> None:
            await unit.connection.execute(statement, values)

        await self._store.run(work)


def _to_assessment(row: Row[Any]) -> Assessment:
    job = Job(row.job)
    finding = None
    if row.found_by is not None:
        finding = Finding(job=job, by=row.found_by, is_fallback=row.is_fallback, data=row.data)
    return Assessment(
        incident_id=row.incident_id,
        job=job,
        finding=finding,
        is_pending=row.is_pending,
        attempts=row.attempts,
        created_at=row.created_at,
    )
