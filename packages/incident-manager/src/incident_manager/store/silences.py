"""The silences, and the notifications they hold back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from incident_manager.domain.errors import SilenceNotFoundError
from incident_manager.domain.incident import Incident
from incident_manager.domain.silence import Silence
from incident_manager.store import mapping
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_PENDING, incidents, later, outbox, silences

_CURRENT = select(silences).where(silences.c.ends_at > bindparam("now")).order_by(silences.c.id)
_GET = select(silences).where(silences.c.id == bindparam("silence_id"))
_ENDED = (
    select(silences)
    .where(silences.c.ends_at <= bindparam("now"))
    .order_by(silences.c.id.desc())
    .limit(bindparam("most"))
)
_END = (
    update(silences)
    .where(silences.c.id == bindparam("silence_id"), silences.c.ends_at > bindparam("now"))
    .values(ends_at=bindparam("now"))
)
_WAITING_INCIDENTS = select(incidents).where(
    incidents.c.id.in_(select(outbox.c.incident_id).where(IS_PENDING, outbox.c.leased_by.is_(None)))
)
_ready_at = later(later(outbox.c.next_attempt_at, outbox.c.held_until), outbox.c.silent_until)
_HOLD = (
    update(outbox)
    .where(
        outbox.c.incident_id == bindparam("of_incident"),
        outbox.c.leased_by.is_(None),
        _ready_at < bindparam("until"),
        IS_PENDING,
    )
    .values(silent_until=bindparam("until"), silenced_by=bindparam("holder"))
)
_HOLD_LATER = _HOLD.where(_ready_at >= bindparam("begins"))
_LET_GO = (
    update(outbox)
    .where(outbox.c.silenced_by == bindparam("holder"), IS_PENDING)
    .values(silent_until=None, silenced_by=None)
)


async def add(unit: UnitOfWork, silence: Silence) -> None:
    """Keep a silence."""
    values = {column.name: getattr(silence, column.name) for column in silences.c}
    await unit.connection.execute(insert(silences), values)


async def current(unit: UnitOfWork, at: datetime) -> Sequence[Silence]:
    """Return the silences that have not ended, those that have not begun among them."""
    return [_to_silence(row) for row in await unit.connection.execute(_CURRENT, {"now": at})]


async def ended(unit: UnitOfWork, at: datetime, limit: int) -> Sequence[Silence]:
    """Return silences that have ended, newest first."""
    return [_to_silence(row) for row in await unit.connection.execute(_ENDED, {"now": at, "most": limit})]


async def get(unit: UnitOfWork, silence_id: str) -> Silence:
    """Return one silence.

    Raises:
        SilenceNotFoundError: There is none of this id.
    """
    row = (await unit.connection.execute(_GET, {"silence_id": silence_id})).one_or_none()
    if row is None:
        raise SilenceNotFoundError(silence_id)
    return _to_silence(row)


async def end(unit: UnitOfWork, silence_id: str, at: datetime) -> int:
    """End a silence now, and let go what no other one holds; return how many notifications it had held.

    What is held for another reason, such as a step of the escalation that is still to come, stays so.
    """
    await unit.connection.execute(_END, {"silence_id": silence_id, "now": at})
    freed = (await unit.connection.execute(_LET_GO, {"holder": silence_id})).rowcount
    if freed:
        for other in await current(unit, at):
            await hold_waiting(unit, other, await waiting(unit, other), at)
    return freed


async def waiting(unit: UnitOfWork, silence: Silence) -> Sequence[Incident]:
    """Return the incidents that a silence matches and of which something waits to be sent."""
    rows = (await unit.connection.execute(_WAITING_INCIDENTS)).all()
    return [incident for row in rows if silence.matches(incident := mapping.to_incident(row))]


async def hold_waiting(
    unit: UnitOfWork, silence: Silence, matching: Iterable[Incident], at: datetime
) -> Sequence[Incident]:
    """Hold back what waits already of incidents that a silence matches, and would be sent during it.

    Returns:
        The incidents concerned.
    """
    statement = _HOLD if silence.starts_at <= at else _HOLD_LATER
    concerned = []
    for incident in matching:
        values = {"of_incident": incident.id, "until": silence.ends_at, "holder": silence.id}
        begins = {} if statement is _HOLD else {"begins": silence.starts_at}
        if (await unit.connection.execute(statement, values | begins)).rowcount:
            concerned.append(incident)
    return concerned


def _to_silence(row: Row[Any]) -> Silence:
    return Silence(**row._asdict())
