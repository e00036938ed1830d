from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from http_receiver import HttpReceiver

from incident_manager.domain.delivery import Delivery, NotificationEvent
from recloser.testing import FakeClock

MakeDelivery = Callable[..., Delivery]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    """An HTTP server on 127.0.0.1 that the test controls."""
    async with HttpReceiver() as server:
        yield server


@pytest.fixture
def make_delivery(clock: FakeClock) -> MakeDelivery:
    """Make a delivery; keyword arguments change the incident it is about."""
    made = 0

    def make(
        event: NotificationEvent = NotificationEvent.TRIGGERED, destination: str = "ops", **incident: Any
    ) -> Delivery:
        nonlocal made
        made += 1
        payload = {
            "id": f"inc_{made}",
            "title": "Disk full",
            "description": "Only 2 % left",
            "severity": "P1",
            "status": "detected",
            "source": "alertmanager",
            "labels": {"host": "db-1"},
            "annotations": {},
            "alert_count": 1,
            **incident,
        }
        now = datetime.fromtimestamp(clock.time(), UTC)
        return Delivery(
            id=f"msg_{made}",
            sequence=made,
            incident_id=payload["id"],
            destination=destination,
            event=event,
            payload=payload,
            created_at=now,
            next_attempt_at=now,
        )

    return make
