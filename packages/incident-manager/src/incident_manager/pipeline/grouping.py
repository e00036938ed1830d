"""Finding the group of an incident, and deciding of which incidents of a group people are told.

(Which incident an *alert* belongs to is decided in `pipeline.correlate`, on the way of alerts; this comes after it.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from incident_manager.domain.delivery import ASSESSMENT, GROUP, GROUPING
from incident_manager.domain.grouping import Group, GroupingRule, GroupNotify, Page, to_be_sent
from incident_manager.domain.incident import Incident
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineEntry, TimelineKind
from incident_manager.pipeline.persist import presentation
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.store import group_pages, groups, outbox
from incident_manager.store.group_pages import GroupPage
from incident_manager.store.groups import Membership
from incident_manager.store.repository import UnitOfWork

ACTOR = "system"


async def place(unit: UnitOfWork, incident_id: str, worker: str, plan: AssessmentPlan, at: datetime) -> int:
    """Find the group of one incident if it has none yet, and look which notifications of the group are to be sent.

    Everybody locks the incident first, then its membership, then the group, so that no two wait for each other.

    Returns:
        How many notifications may be sent now that were held.

    Raises:
        DuplicateGroupError: Another process was faster; it is to be tried again.
    """
    incident = await unit.get(incident_id)
    member = await groups.owned(unit, incident_id, worker)
    if member is None:  # the lease is over, or something has happened since the claim: somebody looks again
        return 0
    rule = plan.grouping.named(member.rule)
    if member.group_id is None and rule is None:  # the rule was taken out of the settings
        await groups.settle(unit, incident_id, None)
        return await outbox.let_go(unit, incident_id, GROUPING, at)
    group = await _group_of(unit, incident, member, rule, at)
    await groups.settle(unit, incident_id, group.id)
    await _rewrite(unit, [incident], plan)
    let_go = 0
    if not incident.status.is_open:  # its page goes with the news of its end, or with neither
        await outbox.cancel_escalation(unit, [incident_id])
        let_go = await outbox.let_go(unit, incident_id, GROUPING, at)
    return let_go + await _review(unit, group, incident, rule, plan, at)


async def _group_of(
    unit: UnitOfWork, incident: Incident, member: Membership, rule: GroupingRule | None, at: datetime
) -> Group:
    if member.group_id is not None or rule is None:
        return await groups.lock(unit, member.group_id or "")
    group = await groups.join(unit, member.key, rule, incident.created_at)
    await unit.add_timeline([_joined(incident, group, at)])
    return group


async def _review(
    unit: UnitOfWork, group: Group, placed: Incident, rule: GroupingRule | None, plan: AssessmentPlan, at: datetime
) -> int:
    """Hold what the group spares its destinations, let go what it does no longer, and say both in the timeline.

    Only notifications of the incident that is being placed are held: it is locked, and cannot end meanwhile.
    """
    known = await group_pages.of_group(unit, group.id)
    waiting = [page for page in known if _waits(page, placed)]
    if rule is not None and rule.notify is GroupNotify.FIRST:
        pages = [Page(page.sequence, page.destination, page.severity, page.is_silent(at)) for page in waiting]
        sent = to_be_sent(pages, _told(known, waiting, at))
    else:
        sent = {page.sequence for page in waiting}
    entries = []
    spared = [page for page in waiting if page.sequence not in sent and page.held_by != GROUP]
    if destinations := await group_pages.hold(unit, [page.sequence for page in spared]):
        entries.append(_held(placed, group, destinations, at))
        if not any(page.incident_id == placed.id for page in known if page.sequence in sent or _reaches(page)):
            await group_pages.hold_steps(unit, placed.id)
    freed = [page for page in waiting if page.sequence in sent and page.held_by != ASSESSMENT]
    released = [page for page in freed if page.held_by == GROUP]
    concerned = {page.incident_id for page in released}
    await _rewrite(unit, [one for one in await groups.members(unit, group.id) if one.id in concerned], plan)
    let_go = await group_pages.let_go(unit, [page.sequence for page in freed])
    for incident_id in sorted(concerned):
        await group_pages.resume_steps(unit, incident_id, at)
        destinations = [page.destination for page in released if page.incident_id == incident_id]
        entries.append(_released(incident_id, group, destinations, at))
    await unit.add_timeline(entries)
    return len(let_go)


def _waits(page: GroupPage, placed: Incident) -> bool:
    """Tell whether it is now to be decided if a page is sent."""
    if page.is_step or not page.is_unsent:
        return False
    return page.held_by == GROUP or (page.incident_id == placed.id and page.held_by in (GROUPING, ASSESSMENT))


def _reaches(page: GroupPage) -> bool:
    """Tell whether a page has reached somebody, or will without further ado."""
    return not page.is_unsent or (page.held_by not in (GROUP, GROUPING) and not page.is_step)


def _told(known: Iterable[GroupPage], waiting: Collection[GroupPage], at: datetime) -> dict[str, Severity]:
    """The worst severity of an open incident that each destination knows of, or is about to."""
    told: dict[str, Severity] = {}
    for page in known:
        if page in waiting or page.is_silent(at) or not _reaches(page):
            continue
        worst = told.get(page.destination)
        if worst is None or page.severity.worse_than(worst):
            told[page.destination] = page.severity
    return told


async def _rewrite(unit: UnitOfWork, incidents: Sequence[Incident], plan: AssessmentPlan) -> None:
    """Show incidents as they are now, with their group, in what nobody has begun to send of their beginnings."""
    present = await presentation(unit, [incident.id for incident in incidents], plan)
    for incident in incidents:
        await outbox.rewrite(unit, incident.id, present(incident))


def _shared(group: Group) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(group.labels.items()))


def _joined(incident: Incident, group: Group, at: datetime) -> TimelineEntry:
    what = "began" if group.size == 1 else "joined"
    message = f"{what} the group {group.id} of incidents with {_shared(group)}"
    data = {"group_id": group.id, "rule": group.rule, "size": group.size}
    return TimelineEntry(
        incident_id=incident.id, at=at, actor=ACTOR, kind=TimelineKind.GROUPED, message=message, data=data
    )


def _held(incident: Incident, group: Group, destinations: Sequence[str], at: datetime) -> TimelineEntry:
    named = ", ".join(sorted(set(destinations)))
    message = f"not sent to {named}: told of an open incident of the group {group.id} that is as severe"
    return _entry(incident.id, TimelineKind.NOTIFICATION_HELD, message, group, destinations, at)


def _released(incident_id: str, group: Group, destinations: Sequence[str], at: datetime) -> TimelineEntry:
    named = ", ".join(sorted(set(destinations)))
    message = f"sent to {named} after all: no incident of the group {group.id} it was told of is open and as severe"
    return _entry(incident_id, TimelineKind.NOTIFICATION_RELEASED, message, group, destinations, at)


def _entry(
    incident_id: str, kind: TimelineKind, message: str, group: Group, destinations: Sequence[str], at: datetime
) -> TimelineEntry:
    data = {"group_id": group.id, "destinations": sorted(set(destinations))}
    return TimelineEntry(incident_id=incident_id, at=at, actor=ACTOR, kind=kind, message=message, data=data)
