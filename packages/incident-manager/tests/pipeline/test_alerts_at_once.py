"""Many alerts at once, several processes, failures and restarts: nothing is lost or doubled."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import pytest
from sqlalchemy import text

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.delivery import Delivery
from incident_manager.domain.errors import DuplicateOpenIncidentError, StoreUnavailableError
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.pipeline.correlate import Action
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.store.database import Store, Work
from incident_manager.store.paging import IncidentFilter
from incident_manager.store.repository import UnitOfWork
from recloser import CircuitBreaker
from recloser.testing import FakeClock

T = TypeVar("T")

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED


class Bell(Protocol):
    rung: int


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


async def test_fifty_identical_alerts_at_once_are_one_incident(pipeline: AlertPipeline, store: Store) -> None:
    outcomes = await asyncio.gather(*(pipeline.accept([alert()]) for _ in range(50)))
    [incident] = await incidents(store)
    assert incident.alert_count == 50
    actions = [accepted.action for [accepted] in outcomes]
    assert (actions.count(Action.OPENED), actions.count(Action.UPDATED)) == (1, 49)
    assert {accepted.incident_id for [accepted] in outcomes} == {incident.id}
    assert await owed(store, incident) == [("slack", "triggered")]
    assert await stored_alerts(store) == 50


async def test_identical_alerts_at_two_processes_are_one_incident(
    store: Store, url: str, routes: Any, clock: FakeClock, breaker: CircuitBreaker
) -> None:
    """Two stores are two connections, as two processes would have."""
    stores = [Store(url, breaker, busy_timeout=30) for _ in range(2)]
    for one in stores:
        await one.start()
    try:
        pipelines = [AlertPipeline(one, routes, clock) for one in stores]
        await asyncio.gather(*(pipelines[number % 2].accept([alert()]) for number in range(20)))
    finally:
        for one in stores:
            await one.close()
    [incident] = await incidents(store)
    assert incident.alert_count == 20
    assert await owed(store, incident) == [("slack", "triggered")]


class RacedStore(Store):
    """Another process opens the incident first, as PostgreSQL lets happen: it tells so at the insert."""

    races = 1

    async def run(self, work: Work[T], *, visible: bool = True) -> T:
        if self.races:
            self.races -= 1
            first = alert()
            opened, _ = open_from_alert(first)
            if not await self.read(lambda unit: unit.find_open(first.fingerprint)):
                await super().run(lambda unit: unit.insert(opened))
            raise DuplicateOpenIncidentError(first.fingerprint)
        return await super().run(work, visible=visible)


async def test_an_incident_that_another_process_opened_first_is_joined(
    url: str, routes: Any, clock: FakeClock, breaker: CircuitBreaker
) -> None:
    store = RacedStore(url, breaker)
    await store.start()
    try:
        [accepted] = await AlertPipeline(store, routes, clock).accept([alert(minutes=1)])
        [incident] = await incidents(store)
        assert (accepted.action, incident.alert_count) == (Action.UPDATED, 2)
        store.races = 99
        with pytest.raises(DuplicateOpenIncidentError):
            await AlertPipeline(store, routes, clock).accept([alert(minutes=2)])
        assert store.races == 99 - 3, "it does not try for ever"
    finally:
        await store.close()


async def test_different_alerts_at_once_are_different_incidents(pipeline: AlertPipeline, store: Store) -> None:
    await asyncio.gather(*(pipeline.accept([alert(str(number))]) for number in range(30)))
    assert sorted(int(one.title) for one in await incidents(store)) == list(range(30))


async def test_while_the_store_is_away_the_sender_is_told_and_nothing_is_kept(
    pipeline: AlertPipeline, store: Store, breaker: CircuitBreaker, bell: Bell
) -> None:
    breaker.force_open("maintenance")
    outcomes = await asyncio.gather(*(pipeline.accept([alert()]) for _ in range(5)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
    breaker.reset()
    assert (await stored_alerts(store), bell.rung) == (0, 0)
    await pipeline.accept([alert()])
    assert await stored_alerts(store) == 1


async def test_a_request_that_cannot_be_stored_takes_no_other_with_it(pipeline: AlertPipeline, store: Store) -> None:
    broken = alert("broken", description="half a pair: \ud800")
    outcomes = await asyncio.gather(
        pipeline.accept([alert("a")]),
        pipeline.accept([alert("b")]),
        pipeline.accept([broken]),
        pipeline.accept([alert("c")]),
        return_exceptions=True,
    )
    assert [isinstance(outcome, list) for outcome in outcomes] == [True, True, False, True]
    assert not isinstance(outcomes[2], StoreUnavailableError)
    assert {one.title for one in await incidents(store)} == {"a", "b", "c"}


async def test_a_caller_that_gives_up_disturbs_nobody(pipeline: AlertPipeline, store: Store) -> None:
    tasks = [asyncio.create_task(pipeline.accept([alert(str(number))])) for number in range(6)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[4].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    answered = {str(number) for number, outcome in enumerate(outcomes) if isinstance(outcome, list)}
    assert answered == {"1", "2", "3", "5"}
    assert answered <= {one.title for one in await incidents(store)}


async def test_requests_that_arrive_together_share_transactions(
    pipeline: AlertPipeline, breaker: CircuitBreaker
) -> None:
    await asyncio.gather(*(pipeline.accept([alert(str(number))]) for number in range(50)))
    assert breaker.stats().successful <= 2, "each transaction is one call through the breaker"


async def test_restart_keeps_everything(
    pipeline: AlertPipeline, store: Store, url: str, breaker: CircuitBreaker, routes: Any, clock: FakeClock
) -> None:
    [accepted] = await pipeline.accept([alert()])
    [before] = await incidents(store)
    await store.close()
    again = Store(url, breaker)
    await again.start()
    try:
        assert await incidents(again) == [before]
        assert await again.outbox.waiting() == {"slack": 1}
        restarted = AlertPipeline(again, routes, clock)
        [repeated] = await restarted.accept([alert(minutes=1)])
        assert repeated.incident_id == accepted.incident_id
    finally:
        await again.close()
