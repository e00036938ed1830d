"""Incidents whose alerts are not repeated end by themselves, but never because we could not hear the repetition."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from incident_manager.domain.alert import Alert, new_alert
from incident_manager.domain.incident import Incident, Status
from incident_manager.pipeline.expire import BATCH, INTERVAL, Expiry
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.router import Router
from incident_manager.store.database import Store
from incident_manager.store.paging import IncidentFilter
from recloser import CircuitBreaker
from recloser.testing import FakeClock

GRACE = 60.0


class Bell(Protocol):
    rung: int

    def ring(self) -> None: ...


@pytest.fixture
def expiry(store: Store, routes: Router, clock: FakeClock, bell: Bell) -> Expiry:
    """What the service runs beside the pipeline, looked at step by step."""
    return Expiry(store, routes, clock, grace=GRACE, on_enqueued=bell.ring)


def now(clock: FakeClock) -> datetime:
    return datetime.fromtimestamp(clock.time(), UTC)


def alert(clock: FakeClock, holds_for: float = 240, name: str = "Down") -> Alert:
    ends_at = now(clock) + timedelta(seconds=holds_for)
    return new_alert(source="prometheus", title=name, labels={"name": name}, received_at=now(clock), ends_at=ends_at)


async def incidents(store: Store) -> list[Incident]:
    return (await store.read(lambda unit: unit.list(IncidentFilter(), 1000))).incidents[::-1]


async def pass_time(expiry: Expiry, clock: FakeClock, seconds: float) -> int:
    """Let time pass as it does in the service, with a look every `INTERVAL`; return how many were resolved."""
    resolved = 0
    while seconds > 0:
        clock.advance(min(seconds, INTERVAL))
        seconds -= INTERVAL
        resolved += await expiry.step()
    return resolved


async def test_an_alert_that_is_not_repeated_resolves_its_incident_and_tells_those_who_heard_of_it(
    pipeline: AlertPipeline, store: Store, expiry: Expiry, clock: FakeClock, bell: Bell
) -> None:
    await pipeline.accept([alert(clock)])
    assert await pass_time(expiry, clock, 239) == 0
    assert await pass_time(expiry, clock, 1) == 1
    [incident] = await incidents(store)
    assert (incident.status, incident.resolved_by) == (Status.RESOLVED, "system")
    told = await store.read(lambda unit: unit.deliveries(incident.id))
    assert [delivery.event.value for delivery in told] == ["triggered", "resolved"]
    assert bell.rung == 2


async def test_a_repeated_alert_keeps_its_incident_open_and_its_timeline_short(
    pipeline: AlertPipeline, store: Store, expiry: Expiry, clock: FakeClock
) -> None:
    for _ in range(30):
        await pipeline.accept([alert(clock)])
        assert await pass_time(expiry, clock, 60) == 0
    [incident] = await incidents(store)
    assert (incident.status, incident.alert_count) == (Status.DETECTED, 30)
    assert len(await store.read(lambda unit: unit.timeline(incident.id))) == 1


async def test_an_incident_without_an_expiry_never_ends_by_itself(
    pipeline: AlertPipeline, store: Store, expiry: Expiry, clock: FakeClock
) -> None:
    await pipeline.accept([new_alert(source="api", title="Down", received_at=now(clock))])
    assert await pass_time(expiry, clock, 3600) == 0


async def test_more_than_one_transaction_of_them_is_resolved_at_once(
    pipeline: AlertPipeline, store: Store, expiry: Expiry, clock: FakeClock
) -> None:
    count = 2 * BATCH + 1
    await pipeline.accept([alert(clock, name=str(number)) for number in range(count)])
    assert await pass_time(expiry, clock, 240) == count
    assert {incident.status for incident in await incidents(store)} == {Status.RESOLVED}


async def test_after_a_restart_senders_have_time_to_repeat_what_still_holds(
    pipeline: AlertPipeline, store: Store, routes: Router, clock: FakeClock
) -> None:
    await pipeline.accept([alert(clock)])
    clock.advance(3600)  # the service was down
    restarted = Expiry(store, routes, clock, grace=GRACE)
    assert await restarted.step() == 0
    assert await pass_time(restarted, clock, GRACE - 1) == 0
    assert await pass_time(restarted, clock, 1) == 1


async def test_after_the_process_stood_still_senders_have_time_to_repeat_what_still_holds(
    pipeline: AlertPipeline, expiry: Expiry, clock: FakeClock
) -> None:
    await pass_time(expiry, clock, GRACE)
    await pipeline.accept([alert(clock)])
    clock.advance(3600)  # a frozen process, a sleeping machine
    assert await expiry.step() == 0
    assert await pass_time(expiry, clock, GRACE - 1) == 0
    assert await pass_time(expiry, clock, 1) == 1


async def test_after_a_time_without_the_database_senders_have_time_to_repeat_what_still_holds(
    pipeline: AlertPipeline, expiry: Expiry, clock: FakeClock, breaker: CircuitBreaker
) -> None:
    await pipeline.accept([alert(clock)])
    breaker.force_open("the database is away")
    assert await pass_time(expiry, clock, 300) == 0
    breaker.reset()
    assert await pass_time(expiry, clock, GRACE - 1) == 0
    assert await pass_time(expiry, clock, 1) == 1


async def test_two_processes_resolve_each_incident_once(
    pipeline: AlertPipeline, store: Store, routes: Router, clock: FakeClock
) -> None:
    first, second = (Expiry(store, routes, clock, grace=0) for _ in range(2))
    await pipeline.accept([alert(clock)])
    clock.advance(240)
    assert await first.step() + await second.step() == 1
    [incident] = await incidents(store)
    assert len(await store.read(lambda unit: unit.deliveries(incident.id))) == 2


async def test_it_looks_by_itself_until_it_is_stopped(
    pipeline: AlertPipeline, store: Store, routes: Router, clock: FakeClock
) -> None:
    expiry = Expiry(store, routes, clock, grace=0)
    await pipeline.accept([alert(clock)])
    clock.advance(240)
    await expiry.start()
    async with asyncio.timeout(30):
        while (await incidents(store))[0].status.is_open:  # noqa: ASYNC110 - the state is in the database
            await asyncio.sleep(0)
    await expiry.stop()
