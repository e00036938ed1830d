"""An incident: one trouble, from the first alert about it to its end."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from incident_manager.domain.severity import Severity


class Status(StrEnum):
    """Where an incident is in its life, in order."""

    DETECTED = "detected"
    TRIAGED = "triaged"
    INVESTIGATING = "investigating"
    REMEDIATING = "remediating"
    RESOLVED = "resolved"
    CLOSED = "closed"

    @property
    def is_open(self) -> bool:
        """Whether the trouble still exists: every status before `resolved`."""
        return self not in ENDED


ENDED = frozenset({Status.RESOLVED, Status.CLOSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One trouble. Changed only by the functions of `domain.lifecycle`, which return a new one.

    Attributes:
        severity_locked: A person set the severity, so alerts no longer raise it.
        alert_count: Firing alerts merged into it.
        first_seen: When the first alert about it was received.
        last_seen: When the latest alert about it was received.
        starts_at: The newest start any of its firing alerts gave; a resolved alert from before it is out of date.
        expires_at: When it counts as over unless an alert about it comes first; None if its sender tells the end.
        version: Grows with each change a person should know of before making another (not with each duplicate).
    """

    id: str
    fingerprint: str
    title: str
    description: str
    severity: Severity
    severity_locked: bool
    status: Status
    source: str
    labels: dict[str, str]
    annotations: dict[str, str]
    alert_count: int
    first_seen: datetime
    last_seen: datetime
    starts_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    assignee: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolution: str | None = None
    expires_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return every attribute, JSON-ready: timestamps as ISO 8601 text, enumerations as their values."""
        return {name: _plain(getattr(self, name)) for name in _FIELDS}


_FIELDS = tuple(field.name for field in fields(Incident))


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case StrEnum():
            return value.value
        case dict():
            return dict(value)
        case _:
            return value
