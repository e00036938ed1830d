"""A real service on a free port for the tests of the API, with a real receiver of its notifications."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from testing.live import LiveApp
from testing.receiver import Receiver
from testing.service import eventually

from incident_manager.app import create_app
from incident_manager.settings import Settings


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Takes every notification of the module's service."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[LiveApp]:
    """The whole service, on a database of its own; shared by the tests of one module."""
    destination: Any = {"type": "webhook", "url": receiver.url, "allow_private": True}
    grouping: Any = [{"name": "grid", "labels": ["grid"]}]
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), destinations={"ops": destination}, grouping=grouping)
    with LiveApp(create_app(settings)) as service:
        yield service


@pytest.fixture
def client(service: LiveApp) -> Iterator[httpx2.Client]:
    """A client of the service, with every circuit breaker as new."""
    with service.client() as client:
        client.post("/v1/circuit-breakers/reset-all").raise_for_status()
        yield client


@pytest.fixture
def database_down(client: httpx2.Client) -> Iterator[None]:
    """The database's circuit is open, as it is while the database cannot be used; afterwards the journal is empty."""
    client.post("/v1/circuit-breakers/database/open", json={"reason": "test"}).raise_for_status()
    yield
    client.post("/v1/circuit-breakers/database/reset").raise_for_status()
    eventually(lambda: client.get("/health").json()["journal"]["waiting"], lambda waiting: waiting == 0)
