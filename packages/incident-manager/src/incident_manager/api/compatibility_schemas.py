"""What a policy engine sends and gets: its words for what we call by other names."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from incident_manager.api.schemas import Line, Model, Name, SeverityIn, Text
from incident_manager.domain.incident import Incident, Status
from incident_manager.ingest.fields import as_text

Tag = Annotated[str, Field(min_length=1, max_length=100)]
_IDS = ("policy_id", "rule_id", "user_id")


class TheirStatus(StrEnum):
    """Where an incident is, in the words of the policy engine."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    IN_PROGRESS = "in_progress"
    RESOLVED = "resolved"
    CLOSED = "closed"


class TheirBody(BaseModel):
    """Base of its bodies: what we do not know is left aside, since they are another program's to change."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class TheirIncident(TheirBody):
    """An incident that it reports."""

    title: Line
    description: Text = ""
    severity: SeverityIn
    source: Name
    policy_id: Name | None = None
    rule_id: Name | None = None
    user_id: Name | None = None
    context: dict[str, Any] = {}
    tags: Annotated[list[Tag], Field(max_length=50)] = []

    def labels(self) -> dict[str, str]:
        """What routes and silences can ask for."""
        found = {name: value for name in _IDS if (value := getattr(self, name)) is not None}
        return found | ({"tags": ",".join(self.tags)} if self.tags else {})

    def annotations(self) -> dict[str, str]:
        """What helps people."""
        return {"context": as_text(self.context)} if self.context else {}


class TheirUpdate(TheirBody):
    """What became of an incident."""

    status: TheirStatus | None = None
    assigned_to: Annotated[str, Field(max_length=200)] | None = Field(default=None, description="Empty unassigns.")
    resolution: Text | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> TheirUpdate:
        if self.status is None and self.assigned_to is None and not self.resolution:
            raise ValueError("name at least one of status, assigned_to, resolution")
        return self


class TheirIncidentOut(Model):
    """An incident, as it knows it."""

    id: str
    title: str
    description: str
    severity: str = Field(description="`critical`, `high`, `medium`, `low` or `info`.")
    status: TheirStatus
    source: str
    policy_id: str | None
    rule_id: str | None
    user_id: str | None
    context: dict[str, Any]
    tags: list[str]
    assigned_to: str | None
    resolution: str | None
    created_at: datetime
    updated_at: datetime
    resolved_at: datetime | None


class TheirAlert(TheirBody):
    """An alert that it sends. Who is told of it, the routes decide."""

    alert_type: Literal[
        "policy_violation", "threat_detected", "budget_exceeded", "rate_limit_hit", "system_error", "custom"
    ]
    message: Annotated[str, Field(min_length=1, max_length=20_000)]
    severity: SeverityIn
    source: Annotated[str, Field(min_length=1, max_length=100)]
    context: dict[str, Any] = {}
    recipients: Annotated[list[Name], Field(max_length=100)] = []


def their_status(incident: Incident) -> TheirStatus:
    """Say in its words where an incident is."""
    match incident.status:
        case Status.CLOSED:
            return TheirStatus.CLOSED
        case Status.RESOLVED:
            return TheirStatus.RESOLVED
        case Status.INVESTIGATING | Status.REMEDIATING:
            return TheirStatus.IN_PROGRESS
    return TheirStatus.NEW if incident.acknowledged_at is None else TheirStatus.ACKNOWLEDGED


def their_incident(incident: Incident) -> TheirIncidentOut:
    """Show an incident as it knows it; `context` and `tags` are those it sent."""
    labels = incident.labels
    return TheirIncidentOut(
        id=incident.id,
        title=incident.title,
        description=incident.description,
        severity=incident.severity.label,
        status=their_status(incident),
        source=incident.source,
        policy_id=labels.get("policy_id"),
        rule_id=labels.get("rule_id"),
        user_id=labels.get("user_id"),
        context=_context(incident.annotations.get("context", "{}")),
        tags=[tag for tag in labels.get("tags", "").split(",") if tag],
        assigned_to=incident.assignee,
        resolution=incident.resolution,
        created_at=incident.created_at,
        updated_at=incident.updated_at,
        resolved_at=incident.resolved_at,
    )


def _context(text: str) -> dict[str, Any]:
    """Read a context; an annotation of this name that somebody else wrote is shown as it is."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"context": text}
