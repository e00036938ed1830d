"""What is written comes back the same, and conflicts are found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from incident_manager.domain.alert import AlertStatus, new_alert
from incident_manager.domain.delivery import NotificationEvent, new_delivery
from incident_manager.domain.errors import DuplicateOpenIncidentError, IncidentNotFoundError, VersionConflictError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import acknowledge, open_from_alert, resolve
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineEntry, TimelineKind
from incident_manager.store.database import Store
from incident_manager.store.repository import UnitOfWork

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def incident(name: str = "a", **fields: object) -> Incident:
    alert = new_alert(source="s", title=name, received_at=NOW, labels={"name": name})
    return replace(open_from_alert(alert)[0], **fields)  # type: ignore[arg-type]


async def insert(store: Store, *incidents: Incident) -> None:
    await store.run(lambda unit: unit.insert(*incidents))


async def test_an_incident_comes_back_the_same(store: Store) -> None:
    full = incident(
        description="naïve ☃ 'quoted' \"text\" \\ and\nlines",
        annotations={"": "", "k": "☃"},
        severity=Severity.P0,
        severity_locked=True,
        assignee="bob",
    )
    full, _ = acknowledge(full, "ada", NOW + MINUTE)
    full, _ = resolve(full, "ada", NOW + 2 * MINUTE, "done")
    await insert(store, full, incident("b"))
    assert await store.read(lambda unit: unit.get(full.id)) == full


async def test_an_unknown_incident_is_named(store: Store) -> None:
    with pytest.raises(IncidentNotFoundError, match="no incident has the id 'inc_x'"):
        await store.read(lambda unit: unit.get("inc_x"))


async def test_timestamps_come_back_in_utc_from_any_zone(store: Store) -> None:
    berlin = timezone(timedelta(hours=1))
    moved = incident(last_seen=NOW.astimezone(berlin))
    await insert(store, moved)
    found = await store.read(lambda unit: unit.get(moved.id))
    assert (found.last_seen, found.last_seen.tzinfo) == (NOW, UTC)


async def test_a_timestamp_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="has no time zone; store aware timestamps only"):
        await insert(store, incident(last_seen=NOW.replace(tzinfo=None)))


async def test_only_the_open_incident_of_a_fingerprint_is_found(store: Store) -> None:
    ended, _ = resolve(incident(), "ada", NOW)
    closed = incident(status=Status.CLOSED)
    present = incident(status=Status.INVESTIGATING)
    await insert(store, ended, closed, present)
    assert await store.read(lambda unit: unit.find_open(present.fingerprint)) == present
    assert await store.read(lambda unit: unit.find_open("other")) is None


async def test_a_fingerprint_has_one_open_incident(store: Store) -> None:
    await insert(store, incident())
    with pytest.raises(DuplicateOpenIncidentError, match=incident().fingerprint):
        await insert(store, incident("b"), incident())
    with pytest.raises(DuplicateOpenIncidentError):
        await insert(store, incident(status=Status.REMEDIATING))
    await insert(store, incident(status=Status.RESOLVED), incident(status=Status.CLOSED), incident("b"))


async def test_a_change_is_written_over_the_version_it_was_made_from(store: Store) -> None:
    first = incident()
    await insert(store, first)
    second, _ = acknowledge(first, "ada", NOW + MINUTE)
    await store.run(lambda unit: unit.update(second, first.version))
    assert await store.read(lambda unit: unit.get(first.id)) == second


async def test_a_change_over_another_version_is_refused(store: Store) -> None:
    first = incident()
    await insert(store, first)
    mine, _ = acknowledge(first, "ada", NOW)
    theirs, _ = acknowledge(first, "bob", NOW)
    await store.run(lambda unit: unit.update(mine, first.version))
    with pytest.raises(VersionConflictError) as caught:
        await store.run(lambda unit: unit.update(theirs, first.version))
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert await store.read(lambda unit: unit.get(first.id)) == mine


async def test_a_change_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(IncidentNotFoundError):
        await store.run(lambda unit: unit.update(incident(), 1))


async def test_several_changes_are_written_together(store: Store) -> None:
    first, second = incident("a"), incident("b")
    await insert(store, first, second)
    changes = [(acknowledge(each, "ada", NOW + MINUTE)[0], each.version) for each in (first, second)]
    await store.run(lambda unit: unit.update_all(changes))
    for changed, _ in changes:
        assert await store.read(partial(UnitOfWork.get, incident_id=changed.id)) == changed


async def test_several_changes_are_all_refused_when_one_is_over_another_version(store: Store) -> None:
    first, second = incident("a"), incident("b")
    await insert(store, first, second)
    theirs, _ = acknowledge(second, "bob", NOW)
    await store.run(lambda unit: unit.update(theirs, second.version))
    changes = [(acknowledge(each, "ada", NOW)[0], each.version) for each in (first, second)]
    with pytest.raises(VersionConflictError) as caught:
        await store.run(lambda unit: unit.update_all(changes))
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert await store.read(lambda unit: unit.get(first.id)) == first


async def test_several_changes_are_all_refused_when_one_is_of_nothing(store: Store) -> None:
    first, unknown = incident("a"), incident("b")
    await insert(store, first)
    changes = [(acknowledge(each, "ada", NOW)[0], each.version) for each in (first, unknown)]
    with pytest.raises(IncidentNotFoundError):
        await store.run(lambda unit: unit.update_all(changes))
    assert await store.read(lambda unit: unit.get(first.id)) == first


async def test_alerts_come_back_newest_first_and_as_many_as_asked_for(store: Store) -> None:
    of = incident()
    alerts = [
        new_alert(
            source="s",
            title=str(number),
            received_at=NOW + number * MINUTE,
            status=AlertStatus.RESOLVED,
            ends_at=NOW,
            labels={"a": "b"},
            annotations={"c": "d"},
            dedup_key="k",
            generator_url="http://x",
            severity=Severity.P4,
        )
        for number in range(3)
    ]
    other = new_alert(source="s", title="other", received_at=NOW)

    async def work(unit: UnitOfWork) -> None:
        await unit.insert(of)
        await unit.add_alerts([(alert, of.id) for alert in alerts])
        await unit.add_alert(other, None)

    await store.run(work)
    assert await store.read(lambda unit: unit.alerts(of.id)) == alerts[::-1]
    assert await store.read(lambda unit: unit.alerts(of.id, limit=2)) == alerts[:0:-1]


async def test_the_timeline_keeps_its_order(store: Store) -> None:
    of = incident()
    entries = [
        TimelineEntry(
            incident_id=of.id,
            at=NOW,
            actor="ada",
            kind=TimelineKind.NOTE,
            message=str(number),
            data={"n": [number, None]},
        )
        for number in range(20)
    ]

    async def work(unit: UnitOfWork) -> None:
        await unit.insert(of)
        await unit.add_timeline(entries[:7])
        await unit.add_timeline(entries[7:])

    await store.run(work)
    assert await store.read(lambda unit: unit.timeline(of.id)) == entries
    assert await store.read(lambda unit: unit.timeline("inc_other")) == []


async def test_destinations_that_know_of_an_incident_are_those_still_to_be_told_or_told(store: Store) -> None:
    of, other = incident(), incident("b")
    owed = {
        ("pending", NotificationEvent.TRIGGERED),
        ("delivered", NotificationEvent.TRIGGERED),
        ("failed", NotificationEvent.TRIGGERED),
        ("cancelled", NotificationEvent.TRIGGERED),
        ("delivered", NotificationEvent.ESCALATED),
        ("pending", NotificationEvent.RESOLVED),
    }
    deliveries = [
        replace(new_delivery(of.id, f"{status}-{event}", event, {}, NOW), status=status) for status, event in owed
    ]
    deliveries.append(new_delivery(other.id, "elsewhere", NotificationEvent.TRIGGERED, {}, NOW))

    async def work(unit: UnitOfWork) -> None:
        await unit.insert(of, other)
        await unit.enqueue(deliveries)

    await store.run(work)
    known = await store.read(lambda unit: unit.destinations_triggered(of.id))
    assert known == {"pending-triggered", "delivered-triggered", "delivered-escalated"}
    assert await store.read(lambda unit: unit.destinations_triggered("inc_none")) == set()
