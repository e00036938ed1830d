"""What is not done yet: incidents that are open, and notifications that are owed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, bindparam, case, func, select

from incident_manager.domain.delivery import GROUP, Delivery
from incident_manager.domain.severity import Severity
from incident_manager.store import mapping
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_OPEN, IS_PENDING, incidents, later, outbox
from incident_manager.store.types import UtcDateTime


@dataclass(frozen=True, slots=True)
class Owed:
    """The notifications that a destination has not got yet.

    Attributes:
        waiting: All of them.
        ready: Those that nothing but the destination keeps waiting: neither held back for a finding or for a step of
            the escalation that is still to come, nor silenced.
        oldest: Since when the first of these is ready; None when there is none. A retry that is put off stays ready
            since its beginning.
    """

    waiting: int
    ready: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is not done yet.

    Attributes:
        open_incidents: By severity; those without any are 0.
        owed: By destination; those without any are left out.
    """

    open_incidents: Mapping[Severity, int]
    owed: Mapping[str, Owed]

    @property
    def waiting(self) -> Mapping[str, int]:
        """How many notifications wait, by destination."""
        return {destination: owed.waiting for destination, owed in self.owed.items()}


_OPEN = select(incidents.c.severity, func.count().label("number")).where(IS_OPEN).group_by(incidents.c.severity)
_ready_since = later(later(outbox.c.created_at, outbox.c.held_until), outbox.c.silent_until)
_ready_then = case(
    # What its group spares a destination is not late: it is not to be sent.
    (and_(outbox.c.held_by.is_distinct_from(GROUP), _ready_since <= bindparam("now", type_=UtcDateTime)), _ready_since)
)
_OWED = (
    select(
        outbox.c.destination,
        func.count().label("waiting"),
        func.count(_ready_then).label("ready"),
        func.min(_ready_then, type_=UtcDateTime).label("oldest"),
    )
    .where(IS_PENDING)
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


async def read_backlog(unit: UnitOfWork, now: datetime) -> Backlog:
    """Count what is not done yet."""
    return Backlog(await open_by_severity(unit), await owed(unit, now))


async def open_by_severity(unit: UnitOfWork) -> Mapping[Severity, int]:
    """Return how many incidents are open, the worst severity first; those without any are 0."""
    counted = {row.severity: row.number for row in await unit.connection.execute(_OPEN)}
    return {severity: counted.get(severity.value, 0) for severity in Severity}


async def owed(unit: UnitOfWork, now: datetime) -> Mapping[str, Owed]:
    """Return what destinations have not got yet; those without any are left out."""
    rows = await unit.connection.execute(_OWED, {"now": now})
    return {row.destination: Owed(row.waiting, row.ready, row.oldest) for row in rows}


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
