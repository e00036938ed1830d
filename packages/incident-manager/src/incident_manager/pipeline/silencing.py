"""What a silence does to notifications: to those that are enqueued under it, and to those that wait when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from incident_manager.domain.delivery import Delivery
from incident_manager.domain.incident import Incident
from incident_manager.domain.silence import Silence, silent_until
from incident_manager.domain.timeline import TimelineEntry, TimelineKind
from incident_manager.pipeline.correlate import News
from incident_manager.store import groups, silences
from incident_manager.store.repository import UnitOfWork


async def silenced(
    unit: UnitOfWork, news: Sequence[News], deliveries: Sequence[Delivery], at: datetime
) -> list[Delivery]:
    """Hold notifications back for as long as silences ask, and tell the timeline so.

    What is to be sent later, such as a step of the escalation, is held if it falls into a silence that is still to
    come.
    """
    known = await silences.current(unit, at) if deliveries else ()
    if not known:
        return list(deliveries)
    latest = {item.incident.id: item.incident for item in news}
    held = [_held(delivery, latest[delivery.incident_id], known, at) for delivery in deliveries]
    concerned = {delivery.incident_id for delivery in held if delivery.silent_until is not None}
    now = {key: found for key in sorted(concerned) if (found := silent_until(latest[key], known, at))}
    await unit.add_timeline(_entry(incident_id, *found, at) for incident_id, found in now.items())
    return held


async def begin(unit: UnitOfWork, silence: Silence, at: datetime) -> int:
    """Keep a new silence, and hold what waits already and would be sent during it; return how many incidents' it is.

    Their groups are looked at again: others may have been spared because of what is held now.
    """
    await silences.add(unit, silence)
    matching = await silences.waiting(unit, silence)
    # Before the notifications are touched: whoever groups an incident locks in this order, too.
    await groups.look_again(unit, [incident.id for incident in matching], at)
    concerned = await silences.hold_waiting(unit, silence, matching, at)
    if silence.starts_at <= at:
        await unit.add_timeline(_entry(incident.id, silence.ends_at, silence, at) for incident in concerned)
    return len(concerned)


def _held(delivery: Delivery, incident: Incident, known: Sequence[Silence], at: datetime) -> Delivery:
    found = silent_until(incident, known, max(at, delivery.due_at))
    if found is None:
        return delivery
    until, silence = found
    return replace(delivery, silent_until=until, silenced_by=silence.id)


def _entry(incident_id: str, until: datetime, silence: Silence, at: datetime) -> TimelineEntry:
    message = f"notifications are held back until {until:%Y-%m-%d %H:%M:%S} UTC: {silence.reason}"
    data = {"silence_id": silence.id, "until": until.isoformat()}
    return TimelineEntry(
        incident_id=incident_id, at=at, actor=silence.created_by, kind=TimelineKind.SILENCED, message=message, data=data
    )
