"""The service in a process of its own, and real senders: programs and client libraries that others wrote."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from testing.servers.alertmanager import alertmanager_binary, amtool_binary
from testing.servers.programs import require
from testing.servers.prometheus import prometheus_binary
from testing.service import IncidentManager, eventually


@pytest.fixture(scope="module")
def service() -> Iterator[IncidentManager]:
    """``incident-manager serve``."""
    with IncidentManager() as service:
        yield service


@pytest.fixture
def api(service: IncidentManager) -> Iterator[httpx2.Client]:
    """A client of the service."""
    with service.client() as client:
        yield client


@pytest.fixture
def incidents(api: httpx2.Client) -> Callable[[str], list[dict[str, Any]]]:
    """`incidents("Down")`: the incidents whose label `alertname`, or else title, is this, oldest first."""

    def find(name: str) -> list[dict[str, Any]]:
        found = api.get("/v1/incidents", params={"limit": 200}).raise_for_status().json()["incidents"]
        return [one for one in reversed(found) if name in (one["labels"].get("alertname"), one["title"])]

    return find


@pytest.fixture
def becomes(incidents: Callable[[str], list[dict[str, Any]]]) -> Callable[[str, str], dict[str, Any]]:
    """`becomes("Down", "resolved")`: the one incident of a name, as soon as it has the status."""

    def wait(name: str, status: str) -> dict[str, Any]:
        found = eventually(lambda: incidents(name), lambda found: [one["status"] for one in found] == [status], 60)
        return found[0]

    return wait


@pytest.fixture(scope="session")
def prometheus_programs() -> None:
    """For tests that run Prometheus and Alertmanager."""
    require(prometheus_binary, alertmanager_binary, amtool_binary)
