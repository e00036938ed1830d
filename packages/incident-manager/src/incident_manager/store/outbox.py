"""Claiming and settling the notifications that wait to be sent.

Several workers, in one process or in many, may share an outbox. A worker owns what it claimed until its lease ends;
what a dead worker owned is then claimed by another one, and goes out again under the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Row, Update, and_, bindparam, case, exists, func, or_, select, update

from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.domain.timeline import TimelineEntry, TimelineKind
from incident_manager.store import mapping
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_PENDING, outbox

if TYPE_CHECKING:
    from incident_manager.store.database import Store

ACTOR = "system"

_earlier = outbox.alias("earlier")
_waiting = outbox.alias("waiting")


def _is_pending(table: Any) -> ColumnElement[bool]:
    # A literal, not a parameter: only so may the database use the index on pending rows.
    return table.c.status == bindparam(None, "pending", literal_execute=True)  # type: ignore[no-any-return]


#: Whether an earlier notification of the same incident to the same destination is still owed.
_is_behind_another = exists().where(
    _earlier.c.incident_id == _waiting.c.incident_id,
    _earlier.c.destination == _waiting.c.destination,
    _earlier.c.sequence < _waiting.c.sequence,
    _is_pending(_earlier),
)
_CLAIMABLE = (
    select(_waiting.c.sequence)
    .where(
        _waiting.c.destination == bindparam("of_destination"),
        _is_pending(_waiting),
        _waiting.c.next_attempt_at <= bindparam("now"),
        or_(_waiting.c.lease_until.is_(None), _waiting.c.lease_until <= bindparam("now")),
        ~_is_behind_another,
    )
    .order_by(_waiting.c.sequence)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(outbox)
    .where(outbox.c.sequence.in_(_CLAIMABLE))
    .values(leased_by=bindparam("worker"), lease_until=bindparam("until"))
    .returning(*outbox.c)
)
_FREE: dict[str, None] = {"leased_by": None, "lease_until": None}
_IS_OWN = and_(outbox.c.id == bindparam("delivery_id"), outbox.c.leased_by == bindparam("worker"), IS_PENDING)
_SETTLE = update(outbox).where(_IS_OWN)
_DELIVERED = _SETTLE.values(
    status="delivered", attempts=outbox.c.attempts + 1, delivered_at=bindparam("settled_at"), last_error=None, **_FREE
).returning(*outbox.c)
_FAILED = _SETTLE.values(
    status="failed", attempts=outbox.c.attempts + 1, last_error=bindparam("error"), **_FREE
).returning(*outbox.c)
_RETRY = _SETTLE.values(
    attempts=outbox.c.attempts + bindparam("counted"),
    next_attempt_at=bindparam("next_at"),
    last_error=bindparam("error"),
    **_FREE,
)
_CANCEL = (
    update(outbox)
    .where(
        outbox.c.incident_id == bindparam("of_incident"),
        outbox.c.destination == bindparam("of_destination"),
        outbox.c.event.in_([NotificationEvent.ACKNOWLEDGED.value, NotificationEvent.RESOLVED.value]),
        IS_PENDING,
    )
    .values(status="cancelled", last_error=bindparam("error"), **_FREE)
    .returning(*outbox.c)
)
_RELEASE = update(outbox).where(outbox.c.leased_by == bindparam("worker"), IS_PENDING).values(**_FREE)
_OF_DESTINATION = and_(outbox.c.destination == bindparam("of_destination"), outbox.c.leased_by.is_(None), IS_PENDING)
_MOVE = update(outbox).where(_OF_DESTINATION).values(next_attempt_at=bindparam("to"))
_DEFER = _MOVE.where(outbox.c.next_attempt_at < bindparam("to"))
_HASTEN = _MOVE.where(outbox.c.next_attempt_at > bindparam("to"))
_COUNT = select(outbox.c.destination, func.count().label("waiting")).where(IS_PENDING).group_by(outbox.c.destination)
_free_at = case(
    (_waiting.c.lease_until > _waiting.c.next_attempt_at, _waiting.c.lease_until), else_=_waiting.c.next_attempt_at
)
_NEXT_DUE = select(func.min(_free_at)).where(
    _waiting.c.destination == bindparam("of_destination"), _is_pending(_waiting), ~_is_behind_another
)


class Outbox:
    """The notifications that wait. Every method may raise `StoreUnavailableError`.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def claim(
        self, *, destination: str, worker: str, now: datetime, lease: float, limit: int
    ) -> Sequence[Delivery]:
        """Lease up to `limit` notifications that are due, in order, for `lease` seconds.

        Never one that has an earlier waiting one of the same incident and destination, so that a receiver hears of
        the end of an incident after its beginning. No two workers get the same one while the lease lasts.
        """
        until = now + timedelta(seconds=lease)
        values = {"of_destination": destination, "worker": worker, "now": now, "until": until, "most": limit}

        async def work(unit: UnitOfWork) -> list[Delivery]:
            claimed = [mapping.to_delivery(row) for row in await unit.connection.execute(_CLAIM, values)]
            return sorted(claimed, key=lambda delivery: delivery.sequence or 0)

        return await self._store.run(work, visible=False)

    async def mark_delivered(self, id: str, worker: str, at: datetime) -> None:
        """The receiver has it: count the attempt and tell the timeline. Without the lease, do nothing."""

        async def work(unit: UnitOfWork) -> None:
            row = await _settle(unit, _DELIVERED, delivery_id=id, worker=worker, settled_at=at)
            if row is not None:
                message = f"{row.event} notification delivered to {row.destination}"
                await unit.add_timeline([_entry(row, at, TimelineKind.NOTIFICATION_DELIVERED, message)])

        await self._store.run(work)

    async def retry_later(
        self, id: str, worker: str, next_attempt_at: datetime, error: str, count_attempt: bool
    ) -> None:
        """It could not be delivered now: end the lease. Without the lease, do nothing.

        Args:
            count_attempt: Whether it was sent at all; what an open breaker refused was not.
        """
        values = {"counted": int(count_attempt), "next_at": next_attempt_at, "error": error}
        await self._change(_RETRY, delivery_id=id, worker=worker, **values)

    async def mark_failed(self, id: str, worker: str, at: datetime, error: str) -> None:
        """It will never be delivered: count the attempt and tell the timeline. Without the lease, do nothing.

        A destination that can never hear of an incident's beginning is not told of what follows: those notifications
        are cancelled.
        """

        async def work(unit: UnitOfWork) -> None:
            row = await _settle(unit, _FAILED, delivery_id=id, worker=worker, error=error)
            if row is None:
                return
            message = f"{row.event} notification could not be delivered to {row.destination}: {error}"
            entries = [_entry(row, at, TimelineKind.NOTIFICATION_FAILED, message)]
            if row.event == NotificationEvent.TRIGGERED:
                entries += await _cancel_followers(unit, row, at)
            await unit.add_timeline(entries)

        await self._store.run(work)

    async def release(self, worker: str) -> None:
        """End every lease of the worker; the notifications are as they were before the claim."""
        await self._change(_RELEASE, worker=worker)

    async def defer(self, *, destination: str, until: datetime) -> None:
        """Make the unleased notifications to a destination that are due before `until` due at `until`."""
        await self._change(_DEFER, of_destination=destination, to=until)

    async def hasten(self, *, destination: str, at: datetime) -> None:
        """Make the unleased notifications to a destination that are due after `at` due at `at`."""
        await self._change(_HASTEN, of_destination=destination, to=at)

    async def waiting(self) -> Mapping[str, int]:
        """Return how many notifications wait, by destination; destinations without any are left out."""

        async def work(unit: UnitOfWork) -> dict[str, int]:
            return {row.destination: row.waiting for row in await unit.connection.execute(_COUNT)}

        return await self._store.read(work)

    async def next_due(self, destination: str) -> datetime | None:
        """Return when the next notification can be claimed, as far as can be told; None when none waits."""

        async def work(unit: UnitOfWork) -> datetime | None:
            due: datetime | None = await unit.connection.scalar(_NEXT_DUE, {"of_destination": destination})
            return due

        return await self._store.read(work)

    async def _change(self, statement: Update, **values: Any) -> None:
        async def work(unit: UnitOfWork) -> None:
            await unit.connection.execute(statement, values)

        await self._store.run(work)


async def _settle(unit: UnitOfWork, statement: Any, **values: Any) -> Row[Any] | None:
    row: Row[Any] | None = (await unit.connection.execute(statement, values)).one_or_none()
    return row


async def _cancel_followers(unit: UnitOfWork, failed: Row[Any], at: datetime) -> list[TimelineEntry]:
    error = "the destination was never told that the incident was triggered"
    values = {"of_incident": failed.incident_id, "of_destination": failed.destination, "error": error}
    cancelled = (await unit.connection.execute(_CANCEL, values)).all()
    return [
        _entry(row, at, TimelineKind.NOTIFICATION_CANCELLED, f"{row.event} notification to {row.destination}: {error}")
        for row in sorted(cancelled, key=lambda row: row.sequence)
    ]


def _entry(row: Row[Any], at: datetime, kind: TimelineKind, message: str) -> TimelineEntry:
    data = {"delivery_id": row.id, "destination": row.destination, "event": row.event, "attempts": row.attempts}
    return TimelineEntry(incident_id=row.incident_id, at=at, actor=ACTOR, kind=kind, message=message, data=data)
