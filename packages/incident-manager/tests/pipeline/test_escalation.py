"""Who is told later, unless somebody acknowledges the incident."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from incident_manager.domain.alert import AlertStatus, new_alert
from incident_manager.domain.delivery import Delivery, DeliveryStatus, NotificationEvent
from incident_manager.domain.lifecycle import Edit
from incident_manager.domain.severity import Severity
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.router import Step
from incident_manager.store.database import Store
from recloser import CircuitBreaker
from recloser.testing import FakeClock

from .conftest import Routes


@pytest.fixture(autouse=True)
def steps(routes: Routes) -> None:
    routes.later = [Step(300, "second"), Step(900, "boss")]


class Desk:
    """The incident of one alert, and what becomes due of its notifications."""

    def __init__(self, store: Store, clock: FakeClock, incident_id: str) -> None:
        self.store = store
        self.clock = clock
        self.incident_id = incident_id

    async def sent(self, destination: str) -> list[NotificationEvent]:
        """Deliver all that is due to a destination."""
        now = datetime.fromtimestamp(self.clock.time(), UTC)
        claimed = await self.store.outbox.claim(destination=destination, worker="w", now=now, lease=60, limit=10)
        for delivery in claimed:
            await self.store.outbox.mark_delivered(delivery.id, "w", now)
        return [delivery.event for delivery in claimed]

    async def deliveries(self, destination: str) -> Sequence[Delivery]:
        every = await self.store.read(lambda unit: unit.deliveries(self.incident_id))
        return [delivery for delivery in every if delivery.destination == destination]


@pytest.fixture
async def desk(pipeline: AlertPipeline, store: Store, clock: FakeClock) -> Desk:
    at = datetime.fromtimestamp(clock.time(), UTC)
    alert = new_alert(source="test", title="Disk full", severity=Severity.P2, received_at=at)
    [accepted] = await pipeline.accept([alert])
    assert accepted.incident_id is not None
    return Desk(store, clock, accepted.incident_id)


async def test_each_step_is_told_at_its_time(desk: Desk, clock: FakeClock) -> None:
    assert await desk.sent("slack") == [NotificationEvent.TRIGGERED]
    assert await desk.sent("second") == []
    clock.advance(300)
    assert await desk.sent("second") == [NotificationEvent.TRIGGERED]
    assert await desk.sent("boss") == []
    clock.advance(600)
    assert await desk.sent("boss") == [NotificationEvent.TRIGGERED]


async def test_acknowledgement_stops_the_steps_to_come(desk: Desk, clock: FakeClock, actions: IncidentActions) -> None:
    clock.advance(300)
    assert await desk.sent("second") == [NotificationEvent.TRIGGERED]
    await actions.acknowledge(desk.incident_id, by="ana")
    clock.advance(3600)
    assert await desk.sent("second") == [NotificationEvent.ACKNOWLEDGED]
    assert await desk.sent("boss") == []
    assert [item.status for item in await desk.deliveries("boss")] == [DeliveryStatus.CANCELLED]


async def test_end_stops_the_steps_to_come(desk: Desk, clock: FakeClock, actions: IncidentActions) -> None:
    await actions.resolve(desk.incident_id, by="ana")
    clock.advance(3600)
    assert await desk.sent("second") == []
    assert await desk.sent("boss") == []


async def test_steps_survive_a_restart(desk: Desk, clock: FakeClock, url: str, breaker: CircuitBreaker) -> None:
    await desk.store.close()
    again = Store(url, breaker)
    await again.start()
    clock.advance(300)
    reopened = Desk(again, clock, desk.incident_id)
    assert await reopened.sent("second") == [NotificationEvent.TRIGGERED]
    await again.close()


async def test_step_to_who_knows_already_tells_that_nobody_has_acknowledged(
    pipeline: AlertPipeline, store: Store, clock: FakeClock, routes: Routes
) -> None:
    routes.later = [Step(300, "slack")]
    at = datetime.fromtimestamp(clock.time(), UTC)
    [accepted] = await pipeline.accept([new_alert(source="test", title="Other", received_at=at)])
    desk = Desk(store, clock, accepted.incident_id or "")
    assert await desk.sent("slack") == [NotificationEvent.TRIGGERED]
    clock.advance(300)
    assert await desk.sent("slack") == [NotificationEvent.ESCALATED]


async def test_reminder_to_come_does_not_hold_up_other_news(
    desk: Desk, clock: FakeClock, routes: Routes, actions: IncidentActions
) -> None:
    routes.later = [Step(600, "slack")]
    await desk.sent("slack")
    await actions.patch(desk.incident_id, Edit(severity=Severity.P1), by="ana")
    assert await desk.sent("slack") == [NotificationEvent.ESCALATED]
    clock.advance(600)
    assert await desk.sent("slack") == [NotificationEvent.ESCALATED]


async def test_incident_that_gets_worse_is_escalated_as_the_worse_one(
    desk: Desk, clock: FakeClock, routes: Routes, actions: IncidentActions
) -> None:
    clock.advance(400)
    assert await desk.sent("second") == [NotificationEvent.TRIGGERED]
    routes.later = [Step(200, "director"), Step(500, "boss")]
    await actions.patch(desk.incident_id, Edit(severity=Severity.P1), by="ana")
    assert await desk.sent("director") == [NotificationEvent.TRIGGERED], "its time has passed already"
    assert await desk.sent("boss") == []
    clock.advance(100)
    assert await desk.sent("boss") == [NotificationEvent.TRIGGERED]


async def test_acknowledged_incident_that_gets_worse_is_not_escalated_by_time(
    desk: Desk, clock: FakeClock, actions: IncidentActions
) -> None:
    await actions.acknowledge(desk.incident_id, by="ana")
    await actions.patch(desk.incident_id, Edit(severity=Severity.P1), by="ana")
    clock.advance(timedelta(days=1).total_seconds())
    assert await desk.sent("boss") == []


async def test_incident_that_begins_and_ends_at_once_is_not_escalated(
    pipeline: AlertPipeline, store: Store, clock: FakeClock
) -> None:
    at = datetime.fromtimestamp(clock.time(), UTC)
    firing = new_alert(source="test", title="Short", received_at=at)
    over = new_alert(source="test", title="Short", status=AlertStatus.RESOLVED, received_at=at, ends_at=at)
    accepted = await pipeline.accept([firing, over])
    desk = Desk(store, clock, accepted[0].incident_id or "")
    assert await desk.deliveries("second") == []
