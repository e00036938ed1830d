"""Last step: everything that was decided, written within the transaction that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.pipeline.announce import deliveries_for
from incident_manager.pipeline.correlate import Correlation, News
from incident_manager.pipeline.router import Router
from incident_manager.store.repository import UnitOfWork


async def write(unit: UnitOfWork, correlation: Correlation, router: Router, at: datetime) -> int:
    """Write incidents, alerts, timeline and notifications.

    Returns:
        How many notifications were enqueued.
    """
    # Those that end come first: only then may another one open for the same fingerprint.
    for incident, stored_version in correlation.changed():
        await unit.update(incident, stored_version)
    await unit.insert(*correlation.opened())
    await unit.add_alerts(correlation.received)
    await unit.add_timeline(correlation.entries)
    return await enqueue(unit, correlation.news, router, at)


async def enqueue(unit: UnitOfWork, news: Sequence[News], router: Router, at: datetime) -> int:
    """Write the notifications owed for the news, and return their number."""
    if not news:
        return 0
    new = {item.incident.id for item in news if item.event is NotificationEvent.TRIGGERED}
    older = {item.incident.id for item in news} - new  # nobody was told of a new one before
    told = await unit.all_destinations_triggered(older)
    deliveries = deliveries_for(news, told, router, at)
    await unit.enqueue(deliveries)
    return len(deliveries)
