"""Claiming and settling the notifications that wait to be sent.

Several workers, in one process or in many, may share an outbox. A worker owns what it claimed until its lease ends;
what a dead worker owned is then claimed by another one, and goes out again under the same id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Row, Update, and_, bindparam, exists, func, or_, select, update

from incident_manager.domain.delivery import ESCALATION, GROUP, Delivery, DeliveryStatus, NotificationEvent
from incident_manager.domain.timeline import TimelineEntry, TimelineKind
from incident_manager.store import groups, leases, mapping
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_PENDING, later, outbox
from incident_manager.store.superseded import superseded
from incident_manager.store.types import JsonObject

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
    # A step of the escalation that is still to come is no news that others would have to wait for; nor is what a
    # group spares its destination.
    or_(_earlier.c.held_by.is_(None), _earlier.c.held_by.not_in([ESCALATION, GROUP]), _earlier.c.attempts > 0),
    _is_pending(_earlier),
)
_is_not_spared = or_(_waiting.c.held_by.is_(None), _waiting.c.held_by != GROUP)
_CLAIMABLE = (
    select(_waiting.c.sequence)
    .where(
        _waiting.c.destination == bindparam("of_destination"),
        _is_pending(_waiting),
        _is_not_spared,
        _waiting.c.next_attempt_at <= bindparam("now"),
        or_(_waiting.c.held_until.is_(None), _waiting.c.held_until <= bindparam("now")),
        or_(_waiting.c.silent_until.is_(None), _waiting.c.silent_until <= bindparam("now")),
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
_IS_OWN = and_(outbox.c.id == bindparam("delivery_id"), outbox.c.leased_by == bindparam("worker"), IS_PENDING)
_SETTLE = update(outbox).where(_IS_OWN)
_DELIVERED = _SETTLE.values(
    status="delivered",
    attempts=outbox.c.attempts + 1,
    delivered_at=bindparam("settled_at"),
    last_error=None,
    receipt=bindparam("new_receipt", type_=JsonObject),
    **leases.FREE,
).returning(*outbox.c)
_FAILED = _SETTLE.values(
    status="failed", attempts=outbox.c.attempts + 1, last_error=bindparam("error"), **leases.FREE
).returning(*outbox.c)
_RETRY = _SETTLE.values(
    attempts=outbox.c.attempts + bindparam("counted"),
    next_attempt_at=bindparam("next_at"),
    last_error=bindparam("error"),
    **leases.FREE,
)
_RETRY_AND_KEEP = _RETRY.values(receipt=bindparam("new_receipt", type_=JsonObject))
_CANCEL_ONE = (
    update(outbox)
    .where(outbox.c.id == bindparam("delivery_id"), IS_PENDING)
    .values(status="cancelled", last_error=bindparam("error"), **leases.FREE)
    .returning(*outbox.c)
)
_HISTORY = (
    select(outbox)
    .where(
        outbox.c.incident_id.in_(
            select(_waiting.c.incident_id).where(_waiting.c.id == bindparam("delivery_id")).scalar_subquery()
        ),
        outbox.c.destination == bindparam("of_destination"),
    )
    .order_by(outbox.c.sequence)
)
_RECEIPTS = (
    select(outbox.c.incident_id, outbox.c.receipt)
    .where(
        outbox.c.incident_id.in_(bindparam("incident_ids", expanding=True)),
        outbox.c.destination == bindparam("of_destination"),
        outbox.c.status == DeliveryStatus.DELIVERED.value,
    )
    .order_by(outbox.c.sequence.desc())
)
_CANCEL = (
    update(outbox)
    .where(
        outbox.c.incident_id == bindparam("of_incident"),
        outbox.c.destination == bindparam("of_destination"),
        outbox.c.event.in_([NotificationEvent.ACKNOWLEDGED.value, NotificationEvent.RESOLVED.value]),
        IS_PENDING,
    )
    .values(status="cancelled", last_error=bindparam("error"), **leases.FREE)
    .returning(*outbox.c)
)
_RELEASE = update(outbox).where(outbox.c.leased_by == bindparam("worker"), IS_PENDING).values(**leases.FREE)
_OF_DESTINATION = and_(outbox.c.destination == bindparam("of_destination"), outbox.c.leased_by.is_(None), IS_PENDING)
_MOVE = update(outbox).where(_OF_DESTINATION).values(next_attempt_at=bindparam("to"))
_DEFER = _MOVE.where(outbox.c.next_attempt_at < bindparam("to"))
_HASTEN = _MOVE.where(outbox.c.next_attempt_at > bindparam("to"))
_UNSENT = and_(
    outbox.c.incident_id == bindparam("of_incident"),
    outbox.c.attempts == 0,
    outbox.c.leased_by.is_(None),
    IS_PENDING,
)
_REWRITE = (
    update(outbox)
    .where(_UNSENT, outbox.c.event == NotificationEvent.TRIGGERED.value)
    .values(payload=bindparam("shown"))
    .returning(outbox.c.destination)
)
_LET_GO = (
    update(outbox)
    .where(_UNSENT, outbox.c.held_by == bindparam("holder"), outbox.c.held_until > bindparam("to"))
    .values(held_until=None, held_by=None)
)
_HAND_OVER = (
    update(outbox).where(_UNSENT, outbox.c.held_by == bindparam("holder")).values(held_by=bindparam("next_holder"))
)
_CANCEL_HELD = (
    update(outbox)
    .where(outbox.c.incident_id.in_(bindparam("of_incidents", expanding=True)), IS_PENDING)
    .where(outbox.c.held_by.in_([ESCALATION, GROUP]), outbox.c.attempts == 0, outbox.c.leased_by.is_(None))
    .values(status="cancelled", last_error="nobody needs it any more", **leases.FREE)
)
_COUNT = select(outbox.c.destination, func.count().label("waiting")).where(IS_PENDING).group_by(outbox.c.destination)
_ready_at = later(later(_waiting.c.next_attempt_at, _waiting.c.held_until), _waiting.c.silent_until)
_free_at = later(_ready_at, _waiting.c.lease_until)
_NEXT_DUE = select(func.min(_free_at)).where(
    _waiting.c.destination == bindparam("of_destination"), _is_pending(_waiting), _is_not_spared, ~_is_behind_another
)


async def rewrite(unit: UnitOfWork, incident_id: str, payload: dict[str, Any]) -> set[str]:
    """Show the present incident in the notifications of its beginning that nobody has begun to send.

    Returns:
        Their destinations.
    """
    rows = await unit.connection.execute(_REWRITE, {"of_incident": incident_id, "shown": payload})
    return {row.destination for row in rows}


async def cancel_escalation(unit: UnitOfWork, incident_ids: Collection[str]) -> None:
    """Cancel the steps of the escalation that are still to come, and what a group spares its destinations."""
    if incident_ids:
        await unit.connection.execute(_CANCEL_HELD, {"of_incidents": sorted(incident_ids)})


async def let_go(unit: UnitOfWork, incident_id: str, holder: str, at: datetime) -> int:
    """Hold the notifications of an incident no longer; return how many were held by this holder."""
    values = {"of_incident": incident_id, "holder": holder, "to": at}
    return (await unit.connection.execute(_LET_GO, values)).rowcount


async def hand_over(unit: UnitOfWork, incident_id: str, holder: str, next_holder: str) -> None:
    """Let another one hold the notifications of an incident, for as long as the first one would have."""
    values = {"of_incident": incident_id, "holder": holder, "next_holder": next_holder}
    await unit.connection.execute(_HAND_OVER, values)


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
            claimed = await _with_threads(unit, destination, claimed)
            return sorted(claimed, key=lambda delivery: delivery.sequence or 0)

        return await self._store.run(work, visible=False)

    async def mark_delivered(
        self,
        id: str,
        worker: str,
        at: datetime,
        *,
        receipt: Mapping[str, Any] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        """The receiver has it: count the attempt and tell the timeline. Without the lease, do nothing.

        Args:
            receipt: What the receiver said of it, for the notifications that follow.
            warnings: What people should know although it was delivered.
        """

        async def work(unit: UnitOfWork) -> None:
            kept = dict(receipt or {})
            row = await _settle(unit, _DELIVERED, delivery_id=id, worker=worker, settled_at=at, new_receipt=kept)
            if row is not None:
                message = f"{row.event} notification delivered to {row.destination}"
                message += "".join(f"; {warning}" for warning in warnings)
                await unit.add_timeline([_entry(row, at, TimelineKind.NOTIFICATION_DELIVERED, message)])

        await self._store.run(work)

    async def retry_later(
        self,
        id: str,
        worker: str,
        next_attempt_at: datetime,
        error: str,
        count_attempt: bool,
        *,
        receipt: Mapping[str, Any] | None = None,
    ) -> None:
        """It could not be delivered now: end the lease. Without the lease, do nothing.

        Args:
            count_attempt: Whether it was sent at all; what an open breaker refused was not.
            receipt: What the next attempt has to know of this one; None leaves what was kept before.
        """
        values: dict[str, Any] = {"counted": int(count_attempt), "next_at": next_attempt_at, "error": error}
        if receipt is None:
            await self._change(_RETRY, delivery_id=id, worker=worker, **values)
        else:
            await self._change(_RETRY_AND_KEEP, delivery_id=id, worker=worker, new_receipt=dict(receipt), **values)

    async def cancel_superseded(self, *, destination: str, id: str, at: datetime) -> bool:
        """Cancel a page about to be sent whose incident was acknowledged or resolved since it was enqueued.

        Returns:
            Whether it was cancelled, together with what follows only from it, and must not be sent.
        """
        key = {"delivery_id": id, "of_destination": destination}

        async def look(unit: UnitOfWork) -> list[Delivery]:
            history = [mapping.to_delivery(row) for row in await unit.connection.execute(_HISTORY, key)]
            return superseded(id, history)

        async def work(unit: UnitOfWork) -> bool:
            obsolete = await look(unit)
            error = "the incident was acknowledged or resolved before it could be sent"
            rows = [await _settle(unit, _CANCEL_ONE, delivery_id=one.id, error=error) for one in obsolete]
            await unit.add_timeline([_cancellation(row, at, error) for row in rows if row is not None])
            await groups.look_again(unit, {one.incident_id for one in obsolete}, at)
            return bool(obsolete)

        # Most pages are not superseded: the first look takes no writer's turn.
        return bool(await self._store.read(look)) and await self._store.run(work)

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
                await groups.look_again(unit, [row.incident_id], at)
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


async def _with_threads(unit: UnitOfWork, destination: str, claimed: Sequence[Delivery]) -> list[Delivery]:
    """Give those that follow the receipt of the first delivery of their incident."""
    followed = {delivery.incident_id for delivery in claimed if delivery.event is not NotificationEvent.TRIGGERED}
    if not followed:
        return list(claimed)
    values = {"incident_ids": sorted(followed), "of_destination": destination}
    # The latest comes first, so that the first one is what stays.
    rows = await unit.connection.execute(_RECEIPTS, values)
    threads = {row.incident_id: row.receipt for row in rows if row.receipt}
    return [replace(delivery, thread=threads.get(delivery.incident_id, {})) for delivery in claimed]


async def _cancel_followers(unit: UnitOfWork, failed: Row[Any], at: datetime) -> list[TimelineEntry]:
    error = "the destination was never told that the incident was triggered"
    values = {"of_incident": failed.incident_id, "of_destination": failed.destination, "error": error}
    cancelled = (await unit.connection.execute(_CANCEL, values)).all()
    return [_cancellation(row, at, error) for row in sorted(cancelled, key=lambda row: row.sequence)]


def _cancellation(row: Row[Any], at: datetime, error: str) -> TimelineEntry:
    message = f"{row.event} notification to {row.destination}: {error}"
    return _entry(row, at, TimelineKind.NOTIFICATION_CANCELLED, message)


def _entry(row: Row[Any], at: datetime, kind: TimelineKind, message: str) -> TimelineEntry:
    data = {"delivery_id": row.id, "destination": row.destination, "event": row.event, "attempts": row.attempts}
    return TimelineEntry(incident_id=row.incident_id, at=at, actor=ACTOR, kind=kind, message=message, data=data)
