"""The silences, and the notifications they hold back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from incident_manager.domain.errors import SilenceNotFoundError
from incident_manager.domain.silence import Silence
from incident_manager.store import mapping
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_PENDING, incidents, outbox, silences

_CURRENT = select(silences).where(silences.c.ends_at > bindparam("now")).order_by(silences.c.id)
_GET = select(silences).where(silences.c.id == bindparam("silence_id"))
_LATEST = select(silences).order_by(silences.c.id.desc()).limit(bindparam("most"))
_END = (
    update(silences)
    .where(silences.c.id == bindparam("silence_id"), silences.c.ends_at > bindparam("now"))
    .values(ends_at=bindparam("now"))
)
_WAITING_INCIDENTS = select(incidents).where(
    incidents.c.id.in_(select(outbox.c.incident_id).where(IS_PENDING, outbox.c.leased_by.is_(None)))
)
_HOLD = (
    update(outbox)
    .where(
        outbox.c.incident_id == bindparam("of_incident"),
        outbox.c.leased_by.is_(None),
        (outbox.c.held_until.is_(None)) | (outbox.c.held_until < bindparam("until")),
        IS_PENDING,
    )
    .values(held_until=bindparam("until"), held_by=bindparam("holder"))
)
_LET_GO = (
    update(outbox).where(outbox.c.held_by == bindparam("holder"), IS_PENDING).values(held_until=None, held_by=None)
)


async def add(unit: UnitOfWork, silence: Silence) -> None:
    """Keep a silence."""
    values = {column.name: getattr(silence, column.name) for column in silences.c}
    await unit.connection.execute(insert(silences), values)


async def current(unit: UnitOfWork, at: datetime) -> Sequence[Silence]:
    """Return the silences that have not ended, those that have not begun among them."""
    return [_to_silence(row) for row in await unit.connection.execute(_CURRENT, {"now": at})]


async def latest(unit: UnitOfWork, limit: int) -> Sequence[Silence]:
    """Return the silences that were made last, newest first, whether they have ended or not."""
    return [_to_silence(row) for row in await unit.connection.execute(_LATEST, {"most": limit})]


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
    """End a silence now, and let its notifications go; return how many these were."""
    await unit.connection.execute(_END, {"silence_id": silence_id, "now": at})
    return (await unit.connection.execute(_LET_GO, {"holder": silence_id})).rowcount


async def hold_waiting(unit: UnitOfWork, silence: Silence) -> int:
    """Hold back what waits already to be sent about incidents that a silence matches; return how many incidents."""
    rows = (await unit.connection.execute(_WAITING_INCIDENTS)).all()
    matching = [row.id for row in rows if silence.matches(mapping.to_incident(row))]
    for incident_id in matching:
        values = {"of_incident": incident_id, "until": silence.ends_at, "holder": silence.id}
        await unit.connection.execute(_HOLD, values)
    return len(matching)


def _to_silence(row: Row[Any]) -> Silence:
    return Silence(**row._asdict())
