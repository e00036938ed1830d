"""A store on each kind of real database."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

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
