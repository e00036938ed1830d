"""Messages that come again, late or out of order, in every format."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import DuplicateAlertError
from incident_manager.domain.ids import event_id
from incident_manager.domain.incident import Incident, Status
from incident_manager.ingest.alertmanager import parse_alertmanager
from incident_manager.ingest.cloudevents import parse_cloudevents
from incident_manager.ingest.grafana import parse_grafana
from incident_manager.ingest.native import parse_native
from incident_manager.ingest.prometheus import parse_prometheus
from incident_manager.ingest.sentinel import parse_sentinel
from incident_manager.pipeline.correlate import Accepted, Action
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.store.database import Store
from incident_manager.store.paging import IncidentFilter

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def incidents(store: Store) -> list[Incident]:
    return (await store.read(lambda unit: unit.list(IncidentFilter(), 1000))).incidents[::-1]


def event(status: AlertStatus = AlertStatus.FIRING, number: str = "1", minutes: float = 0) -> Alert:
    """An alert whose message has an id of its sender's."""
    received_at = NOW + timedelta(minutes=minutes)
    return new_alert(
        id=event_id("test", number), source="s", title="Disk", labels={"a": "b"}, status=status, received_at=received_at
    )


async def test_a_message_that_is_delivered_again_changes_nothing(pipeline: AlertPipeline, store: Store) -> None:
    [first] = await pipeline.accept([event()])
    [again] = await pipeline.accept([event(minutes=1)])
    assert again == Accepted(first.alert_id, first.incident_id, Action.IGNORED)
    [incident] = await incidents(store)
    assert (incident.alert_count, incident.last_seen) == (1, NOW)


async def test_a_message_that_is_delivered_again_after_the_end_opens_nothing(
    pipeline: AlertPipeline, store: Store
) -> None:
    await pipeline.accept([event()])
    await pipeline.accept([event(AlertStatus.RESOLVED, "2", minutes=1)])
    [again] = await pipeline.accept([event(minutes=2)])
    assert again.action is Action.IGNORED
    [incident] = await incidents(store)
    assert incident.status is Status.RESOLVED


async def test_a_message_that_is_in_a_batch_twice_counts_once(pipeline: AlertPipeline, store: Store) -> None:
    first, second, other = await pipeline.accept([event(), event(), event(number="2")])
    assert (first.action, second.action, other.action) == (Action.OPENED, Action.IGNORED, Action.UPDATED)
    assert first.incident_id == second.incident_id
    assert [incident.alert_count for incident in await incidents(store)] == [2]


async def test_an_ignored_message_is_known_too(pipeline: AlertPipeline, store: Store) -> None:
    resolved = event(AlertStatus.RESOLVED)
    for _ in range(2):
        assert await pipeline.accept([resolved]) == [Accepted(resolved.id, None, Action.IGNORED)]


async def test_a_second_alert_of_one_id_is_a_conflict_of_the_store(store: Store) -> None:
    await store.run(lambda unit: unit.add_alert(event(), None))
    with pytest.raises(DuplicateAlertError):
        await store.run(lambda unit: unit.add_alert(event(), None))
    assert await store.read(lambda unit: unit.known_alerts([event().id, "other"])) == {event().id: None}


async def test_an_acknowledgement_is_told_to_those_who_heard_of_the_incident(
    pipeline: AlertPipeline, store: Store
) -> None:
    await pipeline.accept([event()])
    actions = [
        (await pipeline.accept([event(AlertStatus.ACKNOWLEDGED, str(number), minutes=number)]))[0].action
        for number in (2, 3)
    ]
    assert actions == [Action.ACKNOWLEDGED, Action.IGNORED]
    [incident] = await incidents(store)
    assert incident.acknowledged_by == "source:s"
    told = await store.read(lambda unit: unit.deliveries(incident.id))
    assert [delivery.event.value for delivery in told] == ["triggered", "acknowledged"]


async def test_an_acknowledgement_without_an_incident_opens_none(pipeline: AlertPipeline, store: Store) -> None:
    [accepted] = await pipeline.accept([event(AlertStatus.ACKNOWLEDGED)])
    assert (accepted.action, await incidents(store)) == (Action.IGNORED, [])


FIRED_AGAIN, ENDED_BEFORE = "2026-01-01T11:05:00Z", "2026-01-01T11:00:00Z"
BEGAN = "2026-01-01T10:55:00Z"


def labelled(**times: str) -> dict[str, Any]:
    return {"labels": {"alertname": "Down"}, "fingerprint": "f", **times}


def sentinel(kind: str, at: str, number: str) -> Sequence[Alert]:
    found = {"alert_id": number, "timestamp": at, "anomaly_type": "latency_spike", "service_name": "chat"}
    return parse_sentinel({"event_type": kind, "timestamp": at, "data": found}, NOW)


FIRING = labelled(status="firing", startsAt=FIRED_AGAIN)
RESOLVED = labelled(status="resolved", startsAt=BEGAN, endsAt=ENDED_BEFORE)
CLOUD = {"specversion": "1.0", "source": "/a", "type": "down"}

OVERTAKEN: dict[str, Callable[[], list[Alert]]] = {
    "native": lambda: parse_native(
        {
            "alerts": [
                {"title": "Down", "starts_at": FIRED_AGAIN},
                {"title": "Down", "status": "resolved", "starts_at": BEGAN, "ends_at": ENDED_BEFORE},
            ]
        },
        NOW,
    ),
    "alertmanager": lambda: parse_alertmanager({"alerts": [FIRING, RESOLVED]}, NOW),
    "grafana": lambda: parse_grafana({"alerts": [FIRING, RESOLVED]}, NOW, test_timeout=300),
    "prometheus": lambda: parse_prometheus(
        [labelled(startsAt=FIRED_AGAIN), labelled(startsAt=BEGAN, endsAt=ENDED_BEFORE)], NOW, resolve_timeout=300
    ),
    "cloudevents": lambda: parse_cloudevents(
        [{**CLOUD, "id": "2", "time": FIRED_AGAIN}, {**CLOUD, "id": "1", "time": ENDED_BEFORE, "status": "resolved"}],
        NOW,
    ),
    "sentinel": lambda: [
        *sentinel("anomaly.detected", FIRED_AGAIN, "2"),
        *sentinel("anomaly.resolved", ENDED_BEFORE, "1"),
    ],
}


@pytest.mark.parametrize("name", OVERTAKEN)
async def test_the_end_of_an_earlier_trouble_does_not_end_a_later_one_of_the_same_batch(
    name: str, pipeline: AlertPipeline, store: Store
) -> None:
    outcomes = await pipeline.accept(OVERTAKEN[name]())
    assert [accepted.action for accepted in outcomes] == [Action.OPENED, Action.IGNORED]
    [incident] = await incidents(store)
    assert incident.status is Status.DETECTED


@pytest.mark.parametrize("name", OVERTAKEN)
async def test_the_end_of_an_earlier_trouble_that_comes_late_is_ignored(
    name: str, pipeline: AlertPipeline, store: Store
) -> None:
    firing, resolved = OVERTAKEN[name]()
    await pipeline.accept([firing])
    [late] = await pipeline.accept([resolved])
    assert late.action is Action.IGNORED
    [incident] = await incidents(store)
    assert incident.status is Status.DETECTED
