"""Third step: who is to be told what. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from incident_manager.domain.delivery import Delivery, NotificationEvent, new_delivery
from incident_manager.domain.incident import Incident
from incident_manager.pipeline.correlate import News
from incident_manager.pipeline.router import Router

Present: TypeAlias = Callable[[Incident], dict[str, Any]]
"""What a notification holds of an incident."""


def deliveries_for(
    news: Iterable[News],
    told: Mapping[str, Sequence[str]],
    router: Router,
    at: datetime,
    *,
    present: Present = Incident.to_dict,
    hold: float = 0.0,
) -> list[Delivery]:
    """Return the notifications owed for the news, in order.

    A new incident goes where the router says. What follows goes to those who were told of the beginning, whatever the
    router says by then, since a receiver that never heard of the beginning is owed no end, and one that did is. When
    an incident gets worse, destinations that only now are concerned hear of its beginning.

    Args:
        told: Destinations that were told already, by incident.
        at: When the notifications are enqueued.
        present: How an incident is shown.
        hold: Seconds that the news of a beginning waits for more to be found out.
    """
    knowing = {incident_id: list(destinations) for incident_id, destinations in told.items()}
    deliveries = []
    for item in news:
        known = knowing.setdefault(item.incident.id, [])
        payload = present(item.incident)
        wait = hold if item.event is NotificationEvent.TRIGGERED else 0.0
        for destination, event in _addressees(item, known, router):
            delivery = new_delivery(item.incident.id, destination, event, payload, at)
            deliveries.append(replace(delivery, next_attempt_at=at + timedelta(seconds=wait)))
            if destination not in known:
                known.append(destination)
    return deliveries


def _addressees(item: News, known: Sequence[str], router: Router) -> list[tuple[str, NotificationEvent]]:
    if item.event in (NotificationEvent.ACKNOWLEDGED, NotificationEvent.RESOLVED):
        return [(destination, item.event) for destination in known]
    routed = router.destinations_for(item.incident)
    if item.event is NotificationEvent.TRIGGERED:
        return [(destination, item.event) for destination in routed]
    newly = [(destination, NotificationEvent.TRIGGERED) for destination in routed if destination not in known]
    return [(destination, item.event) for destination in known] + newly
