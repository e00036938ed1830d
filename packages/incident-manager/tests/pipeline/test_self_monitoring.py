"""A circuit that stays open becomes an incident, once, and ends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.severity import Severity
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.self_monitoring import SOURCE, SelfMonitoring, Watch, due
from incident_manager.store.database import Store
from incident_manager.store.paging import IncidentFilter
from recloser import CircuitBreaker, Registry, Settings
from recloser.testing import FakeClock

AFTER = 60.0


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock=clock)


@pytest.fixture
def slack(registry: Registry) -> CircuitBreaker:
    return registry.get_or_create("notify:slack", Settings(failure_threshold=1, open_for=10))


@pytest.fixture
def monitoring(registry: Registry, slack: CircuitBreaker, pipeline: AlertPipeline, clock: FakeClock) -> SelfMonitoring:
    return SelfMonitoring(registry, pipeline.accept, clock, after=AFTER, severity=Severity.P2)


def fail(breaker: CircuitBreaker) -> None:
    breaker.acquire().failure(ConnectionError("refused"))


async def incidents(store: Store) -> list[Incident]:
    page = await store.read(lambda unit: unit.list(IncidentFilter(), limit=50))
    return [incident for incident in page.incidents if incident.source == SOURCE]


async def test_short_outage_is_no_incident(
    monitoring: SelfMonitoring, slack: CircuitBreaker, clock: FakeClock, store: Store
) -> None:
    fail(slack)
    await monitoring.look()
    clock.advance(AFTER - 1)
    await monitoring.look()
    assert await incidents(store) == []


async def test_long_outage_is_one_incident_that_ends_with_it(
    monitoring: SelfMonitoring, slack: CircuitBreaker, clock: FakeClock, store: Store
) -> None:
    fail(slack)
    await monitoring.look()
    for _ in range(5):
        clock.advance(AFTER)
        await monitoring.look()
    [incident] = await incidents(store)
    assert (incident.title, incident.status, incident.severity) == (
        "Circuit notify:slack is open",
        Status.DETECTED,
        Severity.P2,
    )
    assert "ConnectionError: refused" in incident.description

    slack.acquire().success()
    await monitoring.look()
    [incident] = await incidents(store)
    assert incident.status is Status.RESOLVED


async def test_probes_that_fail_do_not_start_the_time_anew(
    monitoring: SelfMonitoring, slack: CircuitBreaker, clock: FakeClock, store: Store
) -> None:
    fail(slack)
    await monitoring.look()
    for _ in range(6):
        clock.advance(10)
        fail(slack)
        await monitoring.look()
    assert len(await incidents(store)) == 1


async def test_circuit_that_an_operator_holds_open_is_one_too(
    monitoring: SelfMonitoring, slack: CircuitBreaker, clock: FakeClock, store: Store
) -> None:
    slack.force_open("maintenance of Slack")
    await monitoring.look()
    clock.advance(AFTER)
    await monitoring.look()
    [incident] = await incidents(store)
    assert "An operator holds it open: maintenance of Slack" in incident.description


async def test_incident_that_was_resolved_too_early_comes_back(
    monitoring: SelfMonitoring, slack: CircuitBreaker, clock: FakeClock, store: Store, pipeline: AlertPipeline
) -> None:
    fail(slack)
    await monitoring.look()
    clock.advance(AFTER)
    await monitoring.look()
    other_process = SelfMonitoring(Registry(clock=clock), pipeline.accept, clock, after=AFTER, severity=Severity.P2)
    await other_process.look()
    [first] = await incidents(store)
    assert first.status is Status.DETECTED, "one process does not speak for the circuits of another"


async def test_new_process_ends_what_an_earlier_one_told(
    monitoring: SelfMonitoring,
    registry: Registry,
    slack: CircuitBreaker,
    clock: FakeClock,
    store: Store,
    pipeline: AlertPipeline,
) -> None:
    fail(slack)
    await monitoring.look()
    clock.advance(AFTER)
    await monitoring.look()
    again = Registry(clock=clock)
    again.get_or_create("notify:slack", Settings())
    await SelfMonitoring(again, pipeline.accept, clock, after=AFTER, severity=Severity.P2).look()
    [incident] = await incidents(store)
    assert incident.status is Status.RESOLVED


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.floats(0, 400)), max_size=30))
def test_open_and_closed_are_told_in_turns(steps: list[tuple[str, bool, float]]) -> None:
    watch, now, state, told = Watch(), 0.0, {"a": True, "b": True}, set[str]()
    for name, is_closed, seconds in steps:
        now += seconds
        state[name] = is_closed
        firing, resolved = due(watch, state, now, AFTER)
        assert not set(firing) & set(resolved)
        assert set(resolved) <= told
        assert all(not state[each] for each in firing)
        for each in resolved:
            del watch.told[each]
        watch.told |= dict.fromkeys(firing, now)
        told = (told - set(resolved)) | set(firing)
