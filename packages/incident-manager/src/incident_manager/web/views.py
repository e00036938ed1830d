"""What the pages show, as it is read from the database or the cache."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from incident_manager.api.incident_schemas import AssessmentOut, IncidentOut, NotificationOut, TimelineOut
from incident_manager.api.schemas import Model
from incident_manager.domain.alert import AlertStatus
from incident_manager.domain.severity import Severity
from incident_manager.store.backlog import Owed


class BacklogView(Model):
    """Notifications that a destination should have by now, and since when."""

    destination: str
    waiting: int
    since: datetime

    @classmethod
    def of(cls, owed: Mapping[str, Owed]) -> list[Self]:
        """Return what nothing but its destination keeps waiting."""
        return [
            cls(destination=name, waiting=one.ready, since=one.oldest)
            for name, one in owed.items()
            if one.oldest is not None
        ]


class IncidentRow(IncidentOut):
    """One incident of a list, with what was found out about it."""

    assessment: AssessmentOut


class IncidentListView(Model):
    """One page of incidents, and what stands above it."""

    incidents: list[IncidentRow]
    next_cursor: str | None
    open: dict[Severity, int]
    backlog: list[BacklogView]


class AlertView(Model):
    """One alert of an incident."""

    id: str
    status: AlertStatus
    title: str
    severity: Severity
    source: str
    received_at: datetime
    starts_at: datetime
    ends_at: datetime | None
    labels: dict[str, str]
    generator_url: str | None


class DeliveryView(NotificationOut):
    """One notification, and who holds it back."""

    held_until: datetime | None
    silent_until: datetime | None
    silenced_by: str | None


class WaitingView(DeliveryView):
    """One notification that waits, with its incident."""

    incident_id: str
    title: str
    sequence: int


class IncidentView(IncidentOut):
    """All that there is about one incident; its alerts are the latest."""

    assessment: AssessmentOut
    timeline: list[TimelineOut]
    alerts: list[AlertView]
    deliveries: list[DeliveryView]
    backlog: list[BacklogView]


class DeliveriesView(Model):
    """Notifications that wait, in the order of their coming."""

    deliveries: list[WaitingView]
    next_after: int | None
    backlog: list[BacklogView]
