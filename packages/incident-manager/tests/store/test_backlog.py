"""What is not done yet: counted by severity and by destination, with the age of what only its destination delays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from incident_manager.domain.alert import new_alert
from incident_manager.domain.delivery import GROUP, Delivery, NotificationEvent, new_delivery
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_from_alert, resolve
from incident_manager.domain.severity import Severity
from incident_manager.store.backlog import Backlog, Owed, read_backlog
from incident_manager.store.database import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


async def open_incident(store: Store, title: str, severity: Severity = Severity.P2) -> Incident:
    incident, _ = open_from_alert(new_alert(source="s", title=title, severity=severity, received_at=NOW))
    await store.run(lambda unit: unit.insert(incident))
    return incident


def owed_since(incident: Incident, age: timedelta, to: str = "slack") -> Delivery:
    return new_delivery(incident.id, to, NotificationEvent.TRIGGERED, {"title": incident.title}, NOW - age)


async def backlog(store: Store, *deliveries: Delivery) -> Backlog:
    await store.run(lambda unit: unit.enqueue(deliveries))
    return await store.read(lambda unit: read_backlog(unit, NOW))


async def test_open_incidents_are_counted_by_severity(store: Store) -> None:
    for number, severity in enumerate([Severity.P0, Severity.P2, Severity.P2]):
        await open_incident(store, f"open {number}", severity)
    ended = await open_incident(store, "ended", Severity.P0)
    resolved, _ = resolve(ended, "somebody", NOW)
    await store.run(lambda unit: unit.update(resolved, ended.version))
    counts = (await backlog(store)).open_incidents
    assert counts == {Severity.P0: 1, Severity.P1: 0, Severity.P2: 2, Severity.P3: 0, Severity.P4: 0}


async def test_nothing_is_owed_at_first(store: Store) -> None:
    assert (await backlog(store)).owed == {}


async def test_destinations_are_told_apart(store: Store) -> None:
    incident = await open_incident(store, "a")
    found = await backlog(
        store,
        owed_since(incident, minutes(3)),
        owed_since(incident, minutes(1)),
        owed_since(incident, minutes(9), to="mail"),
    )
    assert found.owed == {"slack": Owed(2, 2, NOW - minutes(3)), "mail": Owed(1, 1, NOW - minutes(9))}
    assert found.waiting == {"slack": 2, "mail": 1}


async def test_retry_that_is_put_off_is_as_old_as_its_beginning(store: Store) -> None:
    delivery = owed_since(await open_incident(store, "a"), minutes(30))
    found = await backlog(store, replace(delivery, attempts=5, next_attempt_at=NOW + minutes(5)))
    assert found.owed["slack"] == Owed(1, 1, NOW - minutes(30))


@pytest.mark.parametrize("hold", ["held_until", "silent_until"])
async def test_what_is_held_back_is_owed_and_not_ready(store: Store, hold: str) -> None:
    delivery = owed_since(await open_incident(store, "a"), minutes(30))
    found = await backlog(store, replace(delivery, **{hold: NOW + minutes(1)}))
    assert found.owed["slack"] == Owed(1, 0, None)


@pytest.mark.parametrize("hold", ["held_until", "silent_until"])
async def test_what_was_held_back_is_as_old_as_the_end_of_that(store: Store, hold: str) -> None:
    delivery = owed_since(await open_incident(store, "a"), minutes(30))
    found = await backlog(store, replace(delivery, **{hold: NOW - minutes(2)}))
    assert found.owed["slack"] == Owed(1, 1, NOW - minutes(2))


async def test_what_is_delivered_is_owed_no_more(store: Store) -> None:
    delivery = owed_since(await open_incident(store, "a"), minutes(30))
    await backlog(store, delivery)
    await store.outbox.claim(destination="slack", worker="w", now=NOW, lease=30, limit=1)
    assert (await backlog(store)).owed["slack"].ready == 1, "it is owed while it is being sent"
    await store.outbox.mark_delivered(delivery.id, "w", NOW)
    assert (await backlog(store)).owed == {}


async def test_what_a_group_spares_a_destination_is_not_late(store: Store) -> None:
    delivery = owed_since(await open_incident(store, "a"), minutes(30))
    found = await backlog(store, replace(delivery, held_by=GROUP))
    assert found.owed["slack"] == Owed(1, 0, None)
