"""A store on each kind of real database, and breakers whose history it keeps."""

from collections.abc import AsyncIterator

import pytest

from incident_manager.store.database import Store
from recloser import CircuitBreaker, Registry, Settings
from recloser.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves only when told."""
    return FakeClock()


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """The breaker of the database, and one that opens at the first failure and closes at the first success."""
    made = Registry(clock=clock)
    made.get_or_create("database", Settings(failure_threshold=1, open_for=10.0))
    made.get_or_create("notify:ops", Settings(failure_threshold=1, success_threshold=1, open_for=10.0))
    return made


@pytest.fixture
def breaker(registry: Registry) -> CircuitBreaker:
    """The second one."""
    return registry["notify:ops"]


@pytest.fixture
async def store(url: str, registry: Registry) -> AsyncIterator[Store]:
    """An open store."""
    opened = Store(url, registry["database"], busy_timeout=5.0)
    await opened.start()
    yield opened
    await opened.close()
