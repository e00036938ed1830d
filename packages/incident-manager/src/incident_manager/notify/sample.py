"""A made-up incident, to check templates with and to try a destination out."""

from __future__ import annotations

from datetime import UTC, datetime

from incident_manager.domain.alert import new_alert
from incident_manager.domain.delivery import Delivery, NotificationEvent, new_delivery
from incident_manager.domain.lifecycle import acknowledge, open_from_alert, resolve
from incident_manager.domain.severity import Severity

TITLE = "Test notification of the incident manager: nothing is wrong"

_AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def sample_delivery(event: NotificationEvent, *, destination: str = "sample", at: datetime = _AT) -> Delivery:
    """Return a notification of a made-up incident.

    Args:
        event: What it tells.
        destination: Who is told.
        at: When the incident happens.
    """
    alert = new_alert(
        source="incident-manager",
        title=TITLE,
        description="Somebody tries out whether notifications arrive. There is nothing to do.",
        severity=Severity.P4,
        labels={"test": "true"},
        received_at=at,
    )
    incident, _ = open_from_alert(alert)
    if event is NotificationEvent.ACKNOWLEDGED:
        incident, _ = acknowledge(incident, "test", at)
    elif event is NotificationEvent.RESOLVED:
        incident, _ = resolve(incident, "test", at, "This was only a test.")
    return new_delivery(incident.id, destination, event, incident.to_dict(), at)
