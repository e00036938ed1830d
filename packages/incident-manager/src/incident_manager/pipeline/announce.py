"""Third step: who is to be told what. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, TypeAlias

from incident_manager.domain.delivery import ASSESSMENT, ESCALATION, GROUPING, Delivery, NotificationEvent, new_delivery
from incident_manager.domain.grouping import GroupingRules, GroupNotify
from incident_manager.domain.incident import Incident
from incident_manager.pipeline.correlate import News
from incident_manager.pipeline.router import Router

Present: TypeAlias = Callable[[Incident], dict[str, Any]]
"""What a notification holds of an incident."""

UNTIL_GROUPED = 5.0
"""Seconds that a page waits until it is known to which group its incident belongs, at most: then it is sent."""


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

    The steps of the escalation are notifications as well, held until their time. They are planned anew when an
    incident gets worse, and to be cancelled when it is acknowledged or ends.

    Args:
        told: Destinations that were told already, by incident.
        at: When the notifications are enqueued.
        present: How an incident is shown.
        hold: Seconds that the news of a beginning waits for more to be found out.
    """
    knowing = {incident_id: list(destinations) for incident_id, destinations in told.items()}
    deliveries = []
    steps: dict[str, list[Delivery]] = {}  # what is planned last counts
    for item in news:
        known = knowing.setdefault(item.incident.id, [])
        payload = present(item.incident)
        for destination, event in _addressees(item, known, router):
            delivery = new_delivery(item.incident.id, destination, event, payload, at)
            if hold and item.event is NotificationEvent.TRIGGERED:
                delivery = replace(delivery, held_until=at + timedelta(seconds=hold), held_by=ASSESSMENT)
            deliveries.append(delivery)
            if destination not in known:
                known.append(destination)
        steps[item.incident.id] = _escalation(item, known, router, payload, at)
    return [*deliveries, *chain.from_iterable(steps.values())]


def held_until_grouped(
    news: Iterable[News], deliveries: Iterable[Delivery], grouping: GroupingRules, at: datetime
) -> list[Delivery]:
    """Let the pages that a group may spare their destinations wait until it is known whether it does.

    That is decided after the commit, within milliseconds; if nobody can decide, the page is sent.
    """
    if not grouping:
        return list(deliveries)
    latest = {item.incident.id: item.incident for item in news}
    concerned = {key for key, incident in latest.items() if _may_be_spared(incident, grouping)}
    until = at + timedelta(seconds=UNTIL_GROUPED)
    return [
        replace(delivery, held_until=until, held_by=GROUPING)
        if delivery.incident_id in concerned
        and delivery.event is NotificationEvent.TRIGGERED
        and delivery.held_by is None
        else delivery
        for delivery in deliveries
    ]


def _may_be_spared(incident: Incident, grouping: GroupingRules) -> bool:
    key = grouping.key_of(incident)
    rule = None if key is None else grouping.named(key.rule)
    return rule is not None and rule.notify is GroupNotify.FIRST


def _addressees(item: News, known: Sequence[str], router: Router) -> list[tuple[str, NotificationEvent]]:
    if item.event in (NotificationEvent.ACKNOWLEDGED, NotificationEvent.RESOLVED):
        return [(destination, item.event) for destination in known]
    routed = router.destinations_for(item.incident)
    if item.event is NotificationEvent.TRIGGERED:
        return [(destination, item.event) for destination in routed]
    newly = [(destination, NotificationEvent.TRIGGERED) for destination in routed if destination not in known]
    return [(destination, item.event) for destination in known] + newly


def _escalation(
    item: News, known: Collection[str], router: Router, payload: dict[str, Any], at: datetime
) -> list[Delivery]:
    """The steps that are still to come, and those that have been missed by who only now is concerned."""
    incident = item.incident
    if item.event in (NotificationEvent.ACKNOWLEDGED, NotificationEvent.RESOLVED) or incident.acknowledged_at:
        return []
    told, steps = set(known), []
    for step in router.escalation_for(incident):
        due = incident.created_at + timedelta(seconds=step.after)
        if due <= at and step.destination in told:
            continue
        event = NotificationEvent.ESCALATED if step.destination in told else NotificationEvent.TRIGGERED
        delivery = new_delivery(incident.id, step.destination, event, payload, at)
        steps.append(replace(delivery, held_until=max(due, at), held_by=ESCALATION))
        told.add(step.destination)
    return steps
