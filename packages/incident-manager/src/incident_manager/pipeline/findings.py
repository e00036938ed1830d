"""Keeping what was found out about an incident: the findings, what follows from them, and what receivers are told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from incident_manager.domain.assessment import Finding, Job
from incident_manager.domain.delivery import ASSESSMENT, GROUPING, NotificationEvent
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import classify
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineEntry, TimelineKind
from incident_manager.pipeline.announce import Present, deliveries_for, held_until_grouped
from incident_manager.pipeline.correlate import News
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.pipeline.presentation import context, payload
from incident_manager.pipeline.router import Router
from incident_manager.pipeline.silencing import silenced
from incident_manager.store import assessments, groups, outbox
from incident_manager.store.assessments import Settled
from incident_manager.store.repository import UnitOfWork


async def keep(
    unit: UnitOfWork,
    incident_id: str,
    worker: str,
    results: Sequence[Settled],
    router: Router,
    at: datetime,
    plan: AssessmentPlan,
) -> bool:
    """Store findings and what follows from them, in the transaction under way.

    The severity gets worse if a finding says so. Notifications that were not sent yet are rewritten, and those that
    waited for the findings are let go once every job has one.

    Returns:
        Whether notifications may be sent now that could not before, or the incident's group is to be looked at again.
    """
    incident = await unit.get(incident_id)
    before = {item.job: item.finding for item in await assessments.of_incident(unit, incident_id)}
    settled = [item for item in results if await assessments.settle(unit, incident_id, worker, item, at)]
    news = [item.finding for item in settled if item.finding != before[item.finding.job]]
    await unit.add_timeline(_entry(incident, finding, at) for finding in news)
    known = {job: finding for job, finding in before.items() if finding is not None}
    known |= {item.finding.job: item.finding for item in settled}
    after = await _classify(unit, incident, news, at)
    is_other = after.severity is not incident.severity
    if is_other:
        await groups.look_again(unit, [incident_id], at)
        await outbox.cancel_escalation(unit, [incident_id])
    group = (await groups.of_incidents(unit, [incident_id])).get(incident_id)

    def present(shown: Incident) -> dict[str, Any]:
        return {**payload(shown, known.values()), **context(group, plan.catalog.service_of(shown))}

    rewritten = await outbox.rewrite(unit, incident_id, present(after))
    enqueued = 0
    if is_other:
        enqueued = await _tell_of_worse(unit, after, rewritten, present, router, at, plan)
    if known.keys() >= before.keys():
        if await groups.is_undecided(unit, incident_id):
            await outbox.hand_over(unit, incident_id, ASSESSMENT, GROUPING)
        else:
            enqueued += await outbox.let_go(unit, incident_id, ASSESSMENT, at)
    return is_other or enqueued > 0


async def _tell_of_worse(
    unit: UnitOfWork,
    incident: Incident,
    rewritten: Collection[str],
    present: Present,
    router: Router,
    at: datetime,
    plan: AssessmentPlan,
) -> int:
    """Enqueue what is owed because an incident got worse; return how many notifications that is.

    Whoever was not told of the beginning yet hears of it with the new severity, and needs no second message.
    """
    told = await unit.all_destinations_triggered([incident.id])
    worse = [News(NotificationEvent.ESCALATED, incident)]
    owed = deliveries_for(worse, told, router, at, present=present)
    owed = [item for item in owed if item.destination not in rewritten or item.held_by is not None]
    owed = held_until_grouped(worse, owed, plan.grouping, at)
    owed = await silenced(unit, worse, owed, at)
    await unit.enqueue(owed)
    return len(owed)


async def _classify(unit: UnitOfWork, incident: Incident, news: Iterable[Finding], at: datetime) -> Incident:
    for finding in news:
        if finding.job is Job.SEVERITY and finding.data:
            after, entries = classify(incident, Severity(finding.data["severity"]), finding.by, at)
            if after is not incident:
                await unit.update(after, incident.version)
                await unit.add_timeline(entries)
                return after
    return incident


def _entry(incident: Incident, finding: Finding, at: datetime) -> TimelineEntry:
    instead = ", because its service could not be asked yet" if finding.is_fallback else ""
    message = f"{finding.job} assessed by {finding.by}{instead}"
    data = {"job": finding.job.value, "by": finding.by, "is_fallback": finding.is_fallback}
    return TimelineEntry(
        incident_id=incident.id, at=at, actor=finding.by, kind=TimelineKind.ASSESSED, message=message, data=data
    )
