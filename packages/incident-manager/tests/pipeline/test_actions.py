"""What people do with incidents, and who hears of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from incident_manager.domain.alert import AlertStatus, new_alert
from incident_manager.domain.errors import IncidentNotFoundError, InvalidTransitionError, VersionConflictError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import Edit
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineKind
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.store.database import Store
from recloser.testing import FakeClock


class Bell(Protocol):
    rung: int


async def create(actions: IncidentActions, severity: Severity = Severity.P2) -> Incident:
    return await actions.create(title="Slow", severity=severity, by="ada")


async def stored(store: Store, incident: Incident) -> Incident:
    return await store.read(lambda unit: unit.get(incident.id))


async def owed(store: Store, incident: Incident) -> list[tuple[str, str]]:
    found = await store.read(lambda unit: unit.deliveries(incident.id))
    return [(one.destination, one.event.value) for one in found]


async def history(store: Store, incident: Incident) -> list[TimelineKind]:
    return [entry.kind for entry in await store.read(lambda unit: unit.timeline(incident.id))]


async def test_a_created_incident_is_stored_told_and_announced(
    actions: IncidentActions, store: Store, clock: FakeClock, bell: Bell
) -> None:
    created = await actions.create(
        title="Slow", severity=Severity.P0, by="ada", description="d", labels={"a": "b"}, assignee="bob"
    )
    assert await stored(store, created) == created
    assert (created.created_at, created.assignee) == (datetime.fromtimestamp(clock.time(), UTC), "bob")
    assert await history(store, created) == [TimelineKind.OPENED]
    assert await owed(store, created) == [("slack", "triggered"), ("pager", "triggered")]
    assert bell.rung == 1


async def test_two_created_alike_are_two_incidents(actions: IncidentActions) -> None:
    assert (await create(actions)).id != (await create(actions)).id


async def test_an_acknowledgement_is_told_to_those_who_heard_of_the_incident(
    actions: IncidentActions, store: Store, clock: FakeClock, bell: Bell
) -> None:
    created = await create(actions)
    clock.advance(60)
    seen = await actions.acknowledge(created.id, by="bob", expected_version=1)
    assert (seen.acknowledged_by, seen.version, seen.status) == ("bob", 2, Status.DETECTED)
    assert seen.acknowledged_at == datetime.fromtimestamp(clock.time(), UTC)
    assert await stored(store, created) == seen
    assert await owed(store, created) == [("slack", "triggered"), ("slack", "acknowledged")]
    assert bell.rung == 2


async def test_a_second_acknowledgement_changes_and_tells_nothing(actions: IncidentActions, store: Store) -> None:
    created = await create(actions)
    first = await actions.acknowledge(created.id, by="bob")
    assert await actions.acknowledge(created.id, by="eve") == first
    assert len(await owed(store, created)) == 2
    assert await history(store, created) == [TimelineKind.OPENED, TimelineKind.ACKNOWLEDGED]


async def test_resolving_is_told_and_keeps_the_resolution(actions: IncidentActions, store: Store) -> None:
    created = await create(actions)
    done = await actions.resolve(created.id, by="bob", resolution="restarted")
    assert (done.status, done.resolved_by, done.resolution) == (Status.RESOLVED, "bob", "restarted")
    assert await owed(store, created) == [("slack", "triggered"), ("slack", "resolved")]


async def test_a_late_acknowledgement_leaves_a_resolved_incident_resolved(
    actions: IncidentActions, store: Store
) -> None:
    created = await create(actions)
    done = await actions.resolve(created.id, by="bob", expected_version=1)
    with pytest.raises(VersionConflictError):
        await actions.acknowledge(created.id, by="eve", expected_version=1)
    with pytest.raises(InvalidTransitionError):
        await actions.acknowledge(created.id, by="eve")
    assert await stored(store, created) == done
    assert await history(store, created) == [TimelineKind.OPENED, TimelineKind.RESOLVED]
    assert await owed(store, created) == [("slack", "triggered"), ("slack", "resolved")]


async def test_of_two_changes_made_from_one_reading_one_is_refused(actions: IncidentActions, store: Store) -> None:
    created = await create(actions)
    outcomes = await asyncio.gather(
        *(actions.patch(created.id, Edit(title=name), by=name, expected_version=1) for name in ("ada", "bob", "eve")),
        return_exceptions=True,
    )
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, VersionConflictError)]
    assert len(conflicts) == 2
    assert (await stored(store, created)).version == 2
    assert await history(store, created) == [TimelineKind.OPENED, TimelineKind.EDITED]


async def test_an_edit_is_one_version_with_its_timeline(actions: IncidentActions, store: Store, bell: Bell) -> None:
    created = await create(actions)
    edited = await actions.patch(
        created.id, Edit(status=Status.INVESTIGATING, assignee="bob", note="looking"), by="ada", expected_version=1
    )
    assert (edited.status, edited.assignee, edited.version) == (Status.INVESTIGATING, "bob", 2)
    assert await history(store, created) == [TimelineKind.OPENED, TimelineKind.STATUS_CHANGED, TimelineKind.ASSIGNED]
    assert (len(await owed(store, created)), bell.rung) == (1, 1)


async def test_an_edit_to_resolved_is_told_like_a_resolve(actions: IncidentActions, store: Store) -> None:
    created = await create(actions)
    done = await actions.patch(created.id, Edit(status=Status.RESOLVED, note="gone"), by="ada")
    assert done.resolution == "gone"
    assert await owed(store, created) == [("slack", "triggered"), ("slack", "resolved")]
    closed = await actions.patch(created.id, Edit(status=Status.CLOSED), by="ada")
    assert closed.status is Status.CLOSED
    assert len(await owed(store, created)) == 2


async def test_a_raised_severity_tells_everybody_concerned_and_a_lowered_one_nobody(
    actions: IncidentActions, store: Store
) -> None:
    created = await create(actions)
    await actions.patch(created.id, Edit(severity=Severity.P0), by="ada")
    await actions.patch(created.id, Edit(severity=Severity.P3), by="ada")
    assert await owed(store, created) == [("slack", "triggered"), ("slack", "escalated"), ("pager", "triggered")]


async def test_an_edit_that_changes_nothing_writes_nothing(actions: IncidentActions, store: Store) -> None:
    created = await create(actions)
    assert await actions.patch(created.id, Edit(title="Slow"), by="eve") == created
    assert await history(store, created) == [TimelineKind.OPENED]


async def test_a_refused_transition_changes_nothing(actions: IncidentActions, store: Store) -> None:
    created = await create(actions)
    moved = await actions.patch(created.id, Edit(status=Status.REMEDIATING), by="ada")
    with pytest.raises(InvalidTransitionError):
        await actions.patch(created.id, Edit(status=Status.TRIAGED, title="Other", note="back"), by="ada")
    assert await stored(store, created) == moved


@pytest.mark.parametrize("name", ["acknowledge", "resolve", "patch"])
async def test_an_unknown_incident_is_not_found(actions: IncidentActions, name: str) -> None:
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "acknowledge": lambda: actions.acknowledge("inc_x", by="ada"),
        "resolve": lambda: actions.resolve("inc_x", by="ada"),
        "patch": lambda: actions.patch("inc_x", Edit(note="n"), by="ada"),
    }
    with pytest.raises(IncidentNotFoundError):
        await calls[name]()


async def test_alerts_during_a_change_by_a_person_lose_neither(
    actions: IncidentActions, pipeline: AlertPipeline, store: Store, clock: FakeClock
) -> None:
    now = datetime.fromtimestamp(clock.time(), UTC)
    [accepted] = await pipeline.accept([new_alert(source="s", title="t", received_at=now)])
    incident_id = accepted.incident_id or ""
    await asyncio.gather(
        *(pipeline.accept([new_alert(source="s", title="t", received_at=now)]) for _ in range(10)),
        actions.acknowledge(incident_id, by="ada", expected_version=1),
        *(pipeline.accept([new_alert(source="s", title="t", received_at=now)]) for _ in range(10)),
    )
    found = await store.read(lambda unit: unit.get(incident_id))
    assert (found.alert_count, found.acknowledged_by, found.version) == (21, "ada", 2)


async def test_resolved_by_an_alert_cannot_be_resolved_by_a_person_again(
    actions: IncidentActions, pipeline: AlertPipeline, clock: FakeClock
) -> None:
    now = datetime.fromtimestamp(clock.time(), UTC)
    [accepted] = await pipeline.accept([new_alert(source="s", title="t", received_at=now)])
    await pipeline.accept([new_alert(source="s", title="t", received_at=now, status=AlertStatus.RESOLVED)])
    with pytest.raises(InvalidTransitionError, match="is resolved"):
        await actions.resolve(accepted.incident_id or "", by="ada")
