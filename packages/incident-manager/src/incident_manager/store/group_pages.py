"""The notifications of the incidents of one group: whom they reach, and which of them a group spares people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, select, update

from incident_manager.domain.delivery import ESCALATION, GROUP, PAGES, DeliveryStatus
from incident_manager.domain.incident import Status
from incident_manager.domain.severity import Severity
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_PENDING, group_members, incidents, outbox

_PAGES_OF_GROUP = (
    select(
        outbox.c.sequence,
        outbox.c.incident_id,
        outbox.c.destination,
        outbox.c.status,
        outbox.c.attempts,
        outbox.c.leased_by,
        outbox.c.held_by,
        outbox.c.held_until,
        outbox.c.silent_until,
        incidents.c.severity,
    )
    .join_from(group_members, incidents, group_members.c.incident_id == incidents.c.id)
    .join(outbox, outbox.c.incident_id == incidents.c.id)
    .where(
        group_members.c.group_id == bindparam("in_group"),
        incidents.c.status.not_in([Status.RESOLVED.value, Status.CLOSED.value]),
        outbox.c.event.in_(sorted(PAGES)),
        outbox.c.status.in_([DeliveryStatus.PENDING.value, DeliveryStatus.DELIVERED.value]),
    )
    .order_by(outbox.c.sequence)
)
_UNSENT = and_(outbox.c.attempts == 0, outbox.c.leased_by.is_(None), IS_PENDING)
_HOLD = (
    update(outbox)
    .where(outbox.c.sequence == bindparam("of_sequence"), _UNSENT)
    .values(held_by=GROUP, held_until=None)
    .returning(outbox.c.destination)
)
_LET_GO = (
    update(outbox)
    .where(outbox.c.sequence == bindparam("of_sequence"), _UNSENT)
    .values(held_by=None, held_until=None)
    .returning(outbox.c.destination)
)
_HOLD_STEPS = (
    update(outbox)
    .where(outbox.c.incident_id == bindparam("of_incident"), outbox.c.held_by == ESCALATION, _UNSENT)
    .values(held_by=GROUP)
)
_HELD_STEPS = select(outbox.c.sequence, outbox.c.created_at, outbox.c.held_until).where(
    outbox.c.incident_id == bindparam("of_incident"),
    outbox.c.held_by == GROUP,
    outbox.c.held_until.is_not(None),
    _UNSENT,
)
_RESUME_STEP = (
    update(outbox)
    .where(outbox.c.sequence == bindparam("of_sequence"), _UNSENT)
    .values(held_by=ESCALATION, held_until=bindparam("due"))
)


@dataclass(frozen=True, slots=True)
class GroupPage:
    """A notification that calls somebody to an open incident of a group.

    Attributes:
        held_by: Who holds it; None if nobody does.
        is_step: It is a step of the escalation.
        is_unsent: Nobody has begun to send it.
        silent_until: Until when a silence holds it.
    """

    sequence: int
    incident_id: str
    destination: str
    severity: Severity
    held_by: str | None
    is_step: bool
    is_unsent: bool
    silent_until: datetime | None

    def is_silent(self, at: datetime) -> bool:
        """Tell whether a silence holds it at a moment."""
        return self.is_unsent and self.silent_until is not None and self.silent_until > at


async def of_group(unit: UnitOfWork, group_id: str) -> Sequence[GroupPage]:
    """Return what calls people to the open incidents of a group, in the order of enqueueing."""
    rows = await unit.connection.execute(_PAGES_OF_GROUP, {"in_group": group_id})
    return [_to_page(row._asdict()) for row in rows]


async def hold(unit: UnitOfWork, sequences: Collection[int]) -> list[str]:
    """Hold pages for as long as the group spares them; return the destinations of those that nobody sends already."""
    return await _each(unit, _HOLD, sequences)


async def let_go(unit: UnitOfWork, sequences: Collection[int]) -> list[str]:
    """Hold pages no longer; return their destinations."""
    return await _each(unit, _LET_GO, sequences)


async def hold_steps(unit: UnitOfWork, incident_id: str) -> None:
    """Hold the steps of an incident's escalation, too."""
    await unit.connection.execute(_HOLD_STEPS, {"of_incident": incident_id})


async def resume_steps(unit: UnitOfWork, incident_id: str, at: datetime) -> None:
    """Let the escalation of an incident begin at a moment, with the waits that it had."""
    for step in (await unit.connection.execute(_HELD_STEPS, {"of_incident": incident_id})).all():
        due = max(at, at + (step.held_until - step.created_at))
        await unit.connection.execute(_RESUME_STEP, {"of_sequence": step.sequence, "due": due})


async def _each(unit: UnitOfWork, statement: Any, sequences: Collection[int]) -> list[str]:
    destinations: list[str] = []
    for sequence in sorted(sequences):
        destinations += await unit.connection.scalars(statement, {"of_sequence": sequence})
    return destinations


def _to_page(row: dict[str, Any]) -> GroupPage:
    held_by = row["held_by"]
    return GroupPage(
        sequence=row["sequence"],
        incident_id=row["incident_id"],
        destination=row["destination"],
        severity=Severity(row["severity"]),
        held_by=held_by,
        is_step=held_by == ESCALATION or (held_by == GROUP and row["held_until"] is not None),
        is_unsent=row["status"] == DeliveryStatus.PENDING and not row["attempts"] and row["leased_by"] is None,
        silent_until=row["silent_until"],
    )
