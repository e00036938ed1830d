"""A pipeline on each kind of real database, with a router that tests change."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from incident_manager.domain.incident import Incident
from incident_manager.domain.severity import Severity
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.router import Step
from incident_manager.store.database import Store
from recloser import CircuitBreaker, presets
from recloser.testing import FakeClock

# Property tests must not fail because others use the machine too.
settings.register_profile("patient", settings(deadline=None))
settings.load_profile("patient")


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves only when told."""
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    """The breaker of the database, with the settings of the service."""
    return CircuitBreaker("database", presets.database(), clock=clock)


@pytest.fixture
async def store(url: str, breaker: CircuitBreaker) -> AsyncIterator[Store]:
    """An open store."""
    opened = Store(url, breaker, busy_timeout=0.05)
    await opened.start()
    yield opened
    await opened.close()


class Routes:
    """Sends everything to `slack`, and the worst to `pager` too; tests may change both."""

    def __init__(self) -> None:
        self.all = ["slack"]
        self.worst = ["pager"]
        self.later: list[Step] = []

    def destinations_for(self, incident: Incident) -> list[str]:
        """Return the names by severity."""
        return [*self.all, *(self.worst if incident.severity is Severity.P0 else [])]

    def escalation_for(self, incident: Incident) -> list[Step]:
        """Return who is told later."""
        return self.later


class Bell:
    """Counts how often the dispatcher would have been woken."""

    def __init__(self) -> None:
        self.rung = 0

    def ring(self) -> None:
        """Wake."""
        self.rung += 1


@pytest.fixture
def routes() -> Routes:
    """Where notifications go."""
    return Routes()


@pytest.fixture
def bell() -> Bell:
    """What is called when notifications were enqueued."""
    return Bell()


@pytest.fixture
def pipeline(store: Store, routes: Routes, clock: FakeClock, bell: Bell) -> AlertPipeline:
    """The pipeline of alerts."""
    return AlertPipeline(store, routes, clock, bell.ring)


@pytest.fixture
def actions(store: Store, routes: Routes, clock: FakeClock, bell: Bell) -> IncidentActions:
    """What people do."""
    return IncidentActions(store, routes, clock, bell.ring)
