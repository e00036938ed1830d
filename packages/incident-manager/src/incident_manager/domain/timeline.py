"""What happened to an incident, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class TimelineKind(StrEnum):
    """What an entry tells of."""

    OPENED = "opened"
    SEVERITY_CHANGED = "severity_changed"
    ACKNOWLEDGED = "acknowledged"
    STATUS_CHANGED = "status_changed"
    RESOLVED = "resolved"
    ASSIGNED = "assigned"
    EDITED = "edited"
    NOTE = "note"
    ASSESSED = "assessed"
    SILENCED = "silenced"
    GROUPED = "grouped"
    NOTIFICATION_HELD = "notification_held"
    NOTIFICATION_RELEASED = "notification_released"
    NOTIFICATION_DELIVERED = "notification_delivered"
    NOTIFICATION_FAILED = "notification_failed"
    NOTIFICATION_CANCELLED = "notification_cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One line of an incident's history; never changed once written.

    Attributes:
        actor: Who did it: a person's name, `source:<name>` for an alert, `system` for the service itself.
        message: One sentence for people.
        data: The same for programs, JSON-ready.
    """

    incident_id: str
    at: datetime
    actor: str
    kind: TimelineKind
    message: str
    data: dict[str, Any] = field(default_factory=dict)
