"""A registry, its page, and a client that asks the page without a network."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from recloser import Registry, Settings
from recloser.dashboard import Dashboard, dashboard
from recloser.testing import FakeClock

TOKEN = "correct-horse-battery-staple"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """Breakers that one failure opens for 30 s."""
    return Registry(Settings(failure_threshold=1, open_for=30), clock=clock)


@pytest.fixture
def make(registry: Registry) -> Iterator[Callable[..., Dashboard]]:
    """Makes pages of the registry; they are closed after the test."""
    made: list[Dashboard] = []

    def make(**options: Any) -> Dashboard:
        made.append(dashboard(registry, **options))
        return made[-1]

    yield make
    for page in made:
        page.close()


@pytest.fixture
def app(make: Callable[..., Dashboard]) -> Dashboard:
    """The page, operated by those who know `TOKEN`."""
    return make(token=TOKEN)


@pytest_asyncio.fixture
async def client(app: Dashboard) -> AsyncIterator[httpx2.AsyncClient]:
    """Asks the page."""
    async with client_of(app) as client:
        yield client


def client_of(app: Any) -> httpx2.AsyncClient:
    """A client of an application in this process."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://ops.internal")


def fail(registry: Registry, name: str, text: str = "refused") -> None:
    """Open a breaker, which is made if there is none."""
    breaker = registry.get_or_create(name)
    with pytest.raises(ConnectionError):
        breaker.call(refuse, text)


def refuse(text: str) -> None:
    raise ConnectionError(text)
