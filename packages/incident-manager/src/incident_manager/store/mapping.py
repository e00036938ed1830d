"""Between rows and the objects of the domain."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from incident_manager.domain.alert import Alert, AlertStatus
from incident_manager.domain.delivery import Delivery, DeliveryStatus, NotificationEvent
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineEntry, TimelineKind
from incident_manager.store import schema

_INCIDENT = tuple(column.name for column in schema.incidents.c)
_ALERT = tuple(column.name for column in schema.alerts.c if column.name != "incident_id")
_TIMELINE = tuple(column.name for column in schema.timeline.c if column.name != "sequence")
_OUTBOX = tuple(column.name for column in schema.outbox.c if column.name != "sequence")


def incident_values(incident: Incident) -> dict[str, Any]:
    """Return the columns of an incident."""
    return {name: getattr(incident, name) for name in _INCIDENT}


def alert_values(alert: Alert, incident_id: str | None) -> dict[str, Any]:
    """Return the columns of an alert that belongs to an incident, or to none."""
    return {"incident_id": incident_id, **{name: getattr(alert, name) for name in _ALERT}}


def timeline_values(entry: TimelineEntry) -> dict[str, Any]:
    """Return the columns of a timeline entry that is to be added."""
    return {name: getattr(entry, name) for name in _TIMELINE}


def delivery_values(delivery: Delivery) -> dict[str, Any]:
    """Return the columns of a delivery that is to be added."""
    return {name: getattr(delivery, name) for name in _OUTBOX}


def to_incident(row: Row[Any]) -> Incident:
    """Read a whole row of `incidents`."""
    values = row._asdict()
    values["severity"] = Severity(values["severity"])
    values["status"] = Status(values["status"])
    return Incident(**values)


def to_alert(row: Row[Any]) -> Alert:
    """Read a whole row of `alerts`."""
    values = row._asdict()
    del values["incident_id"]
    values["severity"] = Severity(values["severity"])
    values["status"] = AlertStatus(values["status"])
    return Alert(**values)


def to_timeline_entry(row: Row[Any]) -> TimelineEntry:
    """Read a whole row of `timeline`."""
    values = row._asdict()
    del values["sequence"]
    values["kind"] = TimelineKind(values["kind"])
    return TimelineEntry(**values)


def to_delivery(row: Row[Any]) -> Delivery:
    """Read a whole row of `outbox`."""
    values = row._asdict()
    values["event"] = NotificationEvent(values["event"])
    values["status"] = DeliveryStatus(values["status"])
    return Delivery(**values)
