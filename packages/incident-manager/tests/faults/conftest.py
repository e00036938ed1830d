"""The real command in a real process, with a real receiver of its notifications.

Starting the service takes seconds, so the tests of a module share one. Each finds it running with nothing left to do.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from testing.receiver import Receiver
from testing.service import IncidentManager, eventually


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[Receiver]:
    """Takes the notifications of the module's service."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def shared_service(shared_receiver: Receiver) -> Iterator[IncidentManager]:
    """``incident-manager serve``, which tells the receiver of everything, impatiently."""
    config: dict[str, Any] = {
        "destinations": {"ops": {"type": "webhook", "url": shared_receiver.url, "allow_private": True}},
        "breakers": {"notify:ops": {"failure_threshold": 3, "open_for": 1.0}},
        "dispatcher": {"backoff_base": 0.1, "backoff_max": 0.5, "send_timeout": 2.0, "lease": 3.0},
    }
    with IncidentManager(config) as service:
        yield service


@pytest.fixture
def receiver(shared_receiver: Receiver, shared_service: IncidentManager) -> Iterator[Receiver]:
    """The receiver, running, with nothing received; a test may stop it and start it again."""
    shared_receiver.gate.set()
    shared_receiver.start()
    shared_service.start()
    with shared_service.client() as client:
        client.post("/v1/circuit-breakers/reset-all").raise_for_status()
        eventually(lambda: client.get("/health").json()["waiting_notifications"], lambda waiting: waiting == {})
    shared_receiver.forget()
    yield shared_receiver
    shared_receiver.gate.set()


@pytest.fixture
def service(shared_service: IncidentManager, receiver: Receiver) -> IncidentManager:
    """The service, running, with nothing waiting; a test may kill it."""
    return shared_service
