"""What becomes of alerts: incidents, their timeline, and the notifications owed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from sqlalchemy import text

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import Edit
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineKind
from incident_manager.ingest.alertmanager import parse_alertmanager
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.correlate import Accepted, Action
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.store.database import Store
from incident_manager.store.paging import IncidentFilter
from incident_manager.store.repository import UnitOfWork
from recloser.testing import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED


class Bell(Protocol):
    rung: int


class Routes(Protocol):
    all: list[str]
    worst: list[str]


def alert(name: str = "disk", status: AlertStatus = FIRING, minutes: float = 0, **fields: Any) -> Alert:
    values = {"source": "s", "title": name, "labels": {"name": name}, **fields}
    return new_alert(status=status, received_at=NOW + minutes * MINUTE, **values)


async def incidents(store: Store) -> list[Incident]:
    """Every incident, oldest first."""
    page = await store.read(lambda unit: unit.list(IncidentFilter(), 1000))
    return page.incidents[::-1]


async def owed(store: Store, incident: Incident) -> list[tuple[str, str]]:
    """What is in the outbox for an incident: destination and event, in order."""
    found = await deliveries(store, incident)
    return [(one.destination, one.event.value) for one in found]


async def deliveries(store: Store, incident: Incident) -> Sequence[Delivery]:
    return await store.read(lambda unit: unit.deliveries(incident.id))


async def stored_alerts(store: Store) -> int:
    async def count(unit: UnitOfWork) -> int:
        return int(await unit.connection.scalar(text("SELECT count(*) FROM alerts")) or 0)

    return await store.read(count)


async def test_a_new_alert_opens_an_incident_and_owes_a_notification(
    pipeline: AlertPipeline, store: Store, clock: FakeClock, bell: Bell
) -> None:
    sent = alert(severity=Severity.P1)
    [accepted] = await pipeline.accept([sent])
    [opened] = await incidents(store)
    assert accepted == Accepted(sent.id, opened.id, Action.OPENED)
    assert (opened.title, opened.severity, opened.status) == ("disk", Severity.P1, Status.DETECTED)
    assert await store.read(lambda unit: unit.alerts(opened.id)) == [sent]
    [entry] = await store.read(lambda unit: unit.timeline(opened.id))
    assert entry.kind is TimelineKind.OPENED
    [delivery] = await deliveries(store, opened)
    now = datetime.fromtimestamp(clock.time(), UTC)
    assert (delivery.destination, delivery.event) == ("slack", NotificationEvent.TRIGGERED)
    assert (delivery.created_at, delivery.next_attempt_at, delivery.attempts) == (now, now, 0)
    assert delivery.payload == opened.to_dict()
    assert bell.rung == 1


async def test_a_duplicate_is_counted_and_told_to_nobody(pipeline: AlertPipeline, store: Store, bell: Bell) -> None:
    await pipeline.accept([alert()])
    [accepted] = await pipeline.accept([alert(minutes=1)])
    [incident] = await incidents(store)
    assert (accepted.action, accepted.incident_id) == (Action.UPDATED, incident.id)
    assert (incident.alert_count, incident.last_seen) == (2, NOW + MINUTE)
    assert await owed(store, incident) == [("slack", "triggered")]
    assert (bell.rung, await stored_alerts(store)) == (1, 2)


async def test_a_resolved_alert_resolves_and_tells_those_who_heard_of_it(
    pipeline: AlertPipeline, store: Store, bell: Bell
) -> None:
    await pipeline.accept([alert()])
    [accepted] = await pipeline.accept([alert(status=RESOLVED, minutes=5)])
    [incident] = await incidents(store)
    assert (accepted.action, accepted.incident_id) == (Action.RESOLVED, incident.id)
    assert (incident.status, incident.resolved_by) == (Status.RESOLVED, "source:s")
    assert await owed(store, incident) == [("slack", "triggered"), ("slack", "resolved")]
    assert (await deliveries(store, incident))[1].payload["status"] == "resolved"
    assert (await deliveries(store, incident))[0].payload["status"] == "detected", "as it was when it was enqueued"
    assert bell.rung == 2


async def test_a_resolved_alert_without_an_incident_is_kept_and_opens_none(
    pipeline: AlertPipeline, store: Store, bell: Bell
) -> None:
    sent = alert(status=RESOLVED)
    assert await pipeline.accept([sent]) == [Accepted(sent.id, None, Action.IGNORED)]
    assert (await incidents(store), await store.outbox.waiting(), bell.rung) == ([], {}, 0)
    assert await stored_alerts(store) == 1


async def test_firing_after_resolved_opens_another_incident_and_tells_again(
    pipeline: AlertPipeline, store: Store
) -> None:
    await pipeline.accept([alert()])
    await pipeline.accept([alert(status=RESOLVED, minutes=1)])
    [accepted] = await pipeline.accept([alert(minutes=2)])
    first, second = await incidents(store)
    assert (accepted.action, accepted.incident_id) == (Action.OPENED, second.id)
    assert (first.status, second.status, second.alert_count) == (Status.RESOLVED, Status.DETECTED, 1)
    assert await owed(store, second) == [("slack", "triggered")]


async def test_firing_after_a_person_resolved_opens_another_incident(
    pipeline: AlertPipeline, actions: IncidentActions, store: Store
) -> None:
    [accepted] = await pipeline.accept([alert()])
    await actions.resolve(accepted.incident_id or "", by="ada")
    await pipeline.accept([alert(minutes=1)])
    assert [one.status for one in await incidents(store)] == [Status.RESOLVED, Status.DETECTED]


@pytest.mark.parametrize("swapped", [False, True])
async def test_of_a_batch_the_newest_moment_wins_in_any_order(
    pipeline: AlertPipeline, store: Store, swapped: bool
) -> None:
    """Firing at 10:05 against the end, at 10:03, of an earlier trouble."""
    batch = [
        alert(minutes=10, starts_at=NOW + 5 * MINUTE),
        alert(status=RESOLVED, minutes=10, starts_at=NOW, ends_at=NOW + 3 * MINUTE),
    ]
    await pipeline.accept(batch[::-1] if swapped else batch)
    [incident] = await incidents(store)
    assert incident.status is Status.DETECTED


async def test_alertmanager_may_send_an_old_resolved_after_a_new_firing(pipeline: AlertPipeline, store: Store) -> None:
    same = {"labels": {"alertname": "Down"}, "fingerprint": "f"}
    notification = {
        "version": "4",
        "alerts": [
            {"status": "firing", "startsAt": "2026-01-01T10:05:00Z", "endsAt": "0001-01-01T00:00:00Z", **same},
            {"status": "resolved", "startsAt": "2026-01-01T10:00:00Z", "endsAt": "2026-01-01T10:03:00Z", **same},
        ],
    }
    await pipeline.accept(parse_alertmanager(notification, NOW + 12 * 60 * MINUTE))
    [incident] = await incidents(store)
    assert incident.status is Status.DETECTED


async def test_a_resolved_alert_from_before_the_start_is_kept_but_ignored(
    pipeline: AlertPipeline, store: Store
) -> None:
    await pipeline.accept([alert(starts_at=NOW + 5 * MINUTE)])
    late = alert(status=RESOLVED, minutes=6, starts_at=NOW)
    [accepted] = await pipeline.accept([late])
    [incident] = await incidents(store)
    assert accepted == Accepted(late.id, incident.id, Action.IGNORED)
    assert incident.status is Status.DETECTED
    assert len(await store.read(lambda unit: unit.alerts(incident.id))) == 2


async def test_a_batch_is_answered_in_its_order(pipeline: AlertPipeline, store: Store) -> None:
    batch = [
        alert("a", minutes=9),
        alert("b", status=RESOLVED),
        alert("a", minutes=3),
        alert("a", status=RESOLVED, minutes=12),
        alert("c"),
    ]
    accepted = await pipeline.accept(batch)
    assert [one.alert_id for one in accepted] == [one.id for one in batch]
    assert [one.action for one in accepted] == [
        Action.UPDATED,
        Action.IGNORED,
        Action.OPENED,
        Action.RESOLVED,
        Action.OPENED,
    ]
    assert accepted[0].incident_id == accepted[2].incident_id == accepted[3].incident_id


async def test_one_batch_may_end_an_incident_and_open_the_next(pipeline: AlertPipeline, store: Store) -> None:
    await pipeline.accept([alert()])
    await pipeline.accept([alert(status=RESOLVED, minutes=1), alert(minutes=2), alert(minutes=3)])
    first, second = await incidents(store)
    assert (first.status, second.status, second.alert_count) == (Status.RESOLVED, Status.DETECTED, 2)
    assert await owed(store, first) == [("slack", "triggered"), ("slack", "resolved")]
    assert await owed(store, second) == [("slack", "triggered")]


async def test_one_batch_may_open_and_end_an_incident(pipeline: AlertPipeline, store: Store) -> None:
    await pipeline.accept([alert(), alert(status=RESOLVED, minutes=1)])
    [incident] = await incidents(store)
    assert incident.status is Status.RESOLVED
    assert await owed(store, incident) == [("slack", "triggered"), ("slack", "resolved")]


async def test_nothing_is_accepted_as_nothing(pipeline: AlertPipeline) -> None:
    assert await pipeline.accept([]) == []


async def test_the_resolve_goes_where_the_trigger_went_though_routes_have_changed(
    pipeline: AlertPipeline, store: Store, routes: Routes
) -> None:
    await pipeline.accept([alert()])
    routes.all[:] = ["mail"]
    await pipeline.accept([alert(status=RESOLVED, minutes=1)])
    [incident] = await incidents(store)
    assert await owed(store, incident) == [("slack", "triggered"), ("slack", "resolved")]


async def test_no_resolve_goes_where_no_trigger_went(pipeline: AlertPipeline, store: Store, routes: Routes) -> None:
    routes.all[:] = []
    await pipeline.accept([alert()])
    routes.all[:] = ["slack"]
    await pipeline.accept([alert(status=RESOLVED, minutes=1)])
    [incident] = await incidents(store)
    assert (incident.status, await owed(store, incident)) == (Status.RESOLVED, [])


async def test_no_resolve_goes_where_the_trigger_failed(
    pipeline: AlertPipeline, store: Store, clock: FakeClock
) -> None:
    await pipeline.accept([alert()])
    now = datetime.fromtimestamp(clock.time(), UTC)
    [claimed] = await store.outbox.claim(destination="slack", worker="w", now=now, lease=10, limit=5)
    await store.outbox.mark_failed(claimed.id, "w", now, "HTTP 404")
    await pipeline.accept([alert(status=RESOLVED, minutes=1)])
    [incident] = await incidents(store)
    assert await owed(store, incident) == [("slack", "triggered")]


async def test_an_alert_that_raises_the_severity_tells_everybody_concerned(
    pipeline: AlertPipeline, store: Store
) -> None:
    await pipeline.accept([alert(severity=Severity.P2)])
    await pipeline.accept([alert(severity=Severity.P0, minutes=1)])
    await pipeline.accept([alert(severity=Severity.P0, minutes=2), alert(severity=Severity.P3, minutes=3)])
    await pipeline.accept([alert(status=RESOLVED, minutes=4)])
    [incident] = await incidents(store)
    assert incident.severity is Severity.P0
    assert await owed(store, incident) == [
        ("slack", "triggered"),
        ("slack", "escalated"),
        ("pager", "triggered"),
        ("slack", "resolved"),
        ("pager", "resolved"),
    ]


async def test_what_people_did_stays_when_the_alert_repeats(
    pipeline: AlertPipeline, actions: IncidentActions, store: Store
) -> None:
    [accepted] = await pipeline.accept([alert()])
    incident_id = accepted.incident_id or ""
    await actions.acknowledge(incident_id, by="ada")
    await actions.patch(incident_id, Edit(note="looking", assignee="bob", severity=Severity.P3), by="ada")
    [before] = await incidents(store)
    await pipeline.accept([alert(severity=Severity.P0, minutes=1, labels={"name": "disk"})])
    [after] = await incidents(store)
    kept = ("acknowledged_by", "acknowledged_at", "assignee", "severity", "version")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.alert_count == 2
    notes = await store.read(lambda unit: unit.timeline(incident_id))
    assert "looking" in [entry.message for entry in notes]
