"""How many incidents are open, and what waits to be delivered: read at a glance, without the rows themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, or_, select

from incident_manager.domain.delivery import GROUP, Delivery
from incident_manager.domain.severity import Severity
from incident_manager.store import mapping
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_OPEN, IS_PENDING, incidents, later, outbox

_OPEN = select(incidents.c.severity, func.count().label("open")).where(IS_OPEN).group_by(incidents.c.severity)
_wanted_at = later(later(outbox.c.created_at, outbox.c.held_until), outbox.c.silent_until)
_BACKLOG = (
    select(outbox.c.destination, func.count().label("waiting"), func.min(_wanted_at).label("since"))
    .where(
        IS_PENDING,
        outbox.c.held_by.is_distinct_from(GROUP),
        or_(outbox.c.held_until.is_(None), outbox.c.held_until <= bindparam("now")),
        or_(outbox.c.silent_until.is_(None), outbox.c.silent_until <= bindparam("now")),
    )
    .group_by(outbox.c.destination)
    .order_by(outbox.c.destination)
)
_WAITING = (
    select(outbox)
    .where(IS_PENDING, outbox.c.sequence > bindparam("after"))
    .order_by(outbox.c.sequence)
    .limit(bindparam("most"))
)
_WAITING_FOR = _WAITING.where(outbox.c.destination == bindparam("of_destination"))


@dataclass(frozen=True, slots=True)
class Backlog:
    """Notifications that a destination should have by now.

    Attributes:
        since: When the first of them should have been sent; what a silence, an escalation or a group holds does not
            count.
    """

    destination: str
    waiting: int
    since: datetime


async def open_by_severity(unit: UnitOfWork) -> Mapping[Severity, int]:
    """Return how many incidents are open, the worst severity first; severities without any are left out."""
    found = {Severity(row.severity): row.open for row in await unit.connection.execute(_OPEN)}
    return {severity: found[severity] for severity in Severity if severity in found}


async def backlog(unit: UnitOfWork, now: datetime) -> Sequence[Backlog]:
    """Return what should have been sent by now and was not, by destination."""
    rows = await unit.connection.execute(_BACKLOG, {"now": now})
    return [Backlog(row.destination, row.waiting, row.since) for row in rows]


async def waiting_deliveries(
    unit: UnitOfWork, *, destination: str | None, after: int, limit: int
) -> Sequence[Delivery]:
    """Return up to `limit` notifications that are not sent yet, the first enqueued first, held ones too.

    Args:
        destination: Only of this one; None for all.
        after: Only those enqueued after the one with this sequence.
    """
    values: dict[str, object] = {"after": after, "most": limit}
    statement = _WAITING
    if destination is not None:
        statement, values = _WAITING_FOR, {**values, "of_destination": destination}
    return [mapping.to_delivery(row) for row in await unit.connection.execute(statement, values)]
