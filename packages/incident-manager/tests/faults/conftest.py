"""The real command in a real process, with a real receiver of its notifications."""

from collections.abc import Iterator
from typing import Any

import pytest
from testing.receiver import Receiver
from testing.service import IncidentManager


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes the notifications; a test may stop it and start it again."""
    with Receiver() as receiver:
        yield receiver
        receiver.gate.set()


@pytest.fixture
def service(receiver: Receiver) -> Iterator[IncidentManager]:
    """``incident-manager serve``, which tells the receiver of everything, impatiently."""
    config: dict[str, Any] = {
        "destinations": {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}},
        "breakers": {"notify:ops": {"failure_threshold": 3, "open_for": 1.0}},
        "dispatcher": {"backoff_base": 0.1, "backoff_max": 0.5, "send_timeout": 2.0, "lease": 3.0},
    }
    with IncidentManager(config) as service:
        yield service
