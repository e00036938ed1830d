"""Last step: everything that was decided, written within the transaction that is under way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.domain.incident import Incident
from incident_manager.pipeline.announce import Present, deliveries_for, held_until_grouped
from incident_manager.pipeline.correlate import Correlation, News
from incident_manager.pipeline.plan import NO_ASSESSMENT, AssessmentPlan
from incident_manager.pipeline.presentation import context, payload
from incident_manager.pipeline.router import Router
from incident_manager.pipeline.silencing import silenced
from incident_manager.store import assessments, groups, outbox
from incident_manager.store.repository import UnitOfWork

CONCERN_THE_GROUP = frozenset({NotificationEvent.ESCALATED, NotificationEvent.RESOLVED})
"""What happens to one incident of a group and changes of which others people must be told."""


async def write(
    unit: UnitOfWork, correlation: Correlation, router: Router, at: datetime, plan: AssessmentPlan = NO_ASSESSMENT
) -> int:
    """Write incidents, alerts, timeline, what is to be found out and the notifications.

    Returns:
        How many notifications were enqueued.
    """
    # Those that end come first: only then may another one open for the same fingerprint.
    await unit.update_all(correlation.changed())
    opened = list(correlation.opened())
    await unit.insert(*opened)
    await unit.add_alerts(correlation.received)
    await unit.add_timeline(correlation.entries)
    await inquire(unit, opened, plan, at)
    return await enqueue(unit, correlation.news, router, at, plan)


async def inquire(unit: UnitOfWork, opened: Sequence[Incident], plan: AssessmentPlan, at: datetime) -> None:
    """Ask for what is to be found out about new incidents."""
    await assessments.add(unit, [incident.id for incident in opened], plan.jobs, at)
    keys = {incident.id: key for incident in opened if (key := plan.grouping.key_of(incident)) is not None}
    await groups.add(unit, keys, at)


async def enqueue(
    unit: UnitOfWork, news: Sequence[News], router: Router, at: datetime, plan: AssessmentPlan = NO_ASSESSMENT
) -> int:
    """Write the notifications owed for the news, and return their number."""
    if not news:
        return 0
    new = {item.incident.id for item in news if item.event is NotificationEvent.TRIGGERED}
    older = {item.incident.id for item in news} - new  # nobody was told of a new one before
    await groups.look_again(unit, {item.incident.id for item in news if item.event in CONCERN_THE_GROUP}, at)
    await outbox.cancel_escalation(unit, older)
    told = await unit.all_destinations_triggered(older)
    present = await presentation(unit, older, plan)
    deliveries = deliveries_for(news, told, router, at, present=present, hold=plan.hold)
    deliveries = held_until_grouped(news, deliveries, plan.grouping, at)
    deliveries = await silenced(unit, news, deliveries, at)
    await unit.enqueue(deliveries)
    return len(deliveries)


async def presentation(unit: UnitOfWork, incident_ids: Collection[str], plan: AssessmentPlan) -> Present:
    """How incidents are shown in notifications, given what is known of them."""
    grouped = await groups.of_incidents(unit, incident_ids) if plan.grouping else {}
    findings = await assessments.findings_of(unit, incident_ids) if plan.jobs else {}

    def present(incident: Incident) -> dict[str, Any]:
        shown = payload(incident, findings.get(incident.id, ())) if plan.jobs else incident.to_dict()
        return {**shown, **context(grouped.get(incident.id), plan.catalog.service_of(incident))}

    return present
