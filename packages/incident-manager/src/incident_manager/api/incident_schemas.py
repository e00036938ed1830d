"""Incidents, as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    StringConstraints,
    model_validator,
)

from incident_manager.api.schemas import Command, Labels, Line, Model, Name, SeverityIn, Text
from incident_manager.domain.assessment import Job
from incident_manager.domain.delivery import DeliveryStatus, NotificationEvent
from incident_manager.domain.incident import Status
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineKind


class IncidentOut(Model):
    """One trouble, from the first alert about it to its end."""

    id: str
    title: str
    description: str
    severity: Severity
    severity_locked: bool = Field(description="A person set the severity; alerts no longer raise it.")
    status: Status
    source: str
    labels: dict[str, str]
    annotations: dict[str, str]
    fingerprint: str
    alert_count: int
    first_seen: datetime
    last_seen: datetime
    created_at: datetime
    updated_at: datetime
    version: int = Field(description="Give it back with a change to be told when somebody else was faster.")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    assignee: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None
    expires_at: datetime | None = Field(
        description="When it counts as over unless its sender repeats the alert; null if the sender tells the end."
    )


class TimelineOut(Model):
    """One line of an incident's history."""

    at: datetime
    actor: str
    kind: TimelineKind
    message: str
    data: dict[str, Any]


class NotificationOut(Model):
    """One notification that was owed to a destination, and where it stands."""

    id: str = Field(description="The same at every attempt; receivers get it as `webhook-id`.")
    destination: str
    event: NotificationEvent
    status: DeliveryStatus
    attempts: int = Field(description="Sends made so far; what an open circuit refused is none.")
    created_at: datetime
    next_attempt_at: datetime
    held_by: Literal["assessment", "escalation", "grouping", "group"] | None = Field(
        description="What it waits for besides: findings, its step of the escalation, its group; with `group` "
        "its destination knows of another open incident of the group."
    )
    delivered_at: datetime | None
    last_error: str | None


class AssessmentOut(Model):
    """What was found out about an incident, and by whom. Members are null while nothing is known, or nobody asked."""

    security: Literal["clean", "sanitized", "unscanned"] | None = None
    classified_by: str | None = Field(default=None, description="Who rated the severity; `rules` is the fallback.")
    severity_reasoning: str | None = None
    summary: str | None = None
    next_steps: list[str] | None = None
    summary_by: str | None = Field(default=None, description="Who wrote the summary; `template` is the fallback.")
    compliance: Literal["compliant", "violation", "not_checked"] | None = None
    compliance_notes: list[str] | None = None
    pending: list[Job] = Field(default=[], description="What the services are still to be asked.")


class RelatedIncident(Model):
    """Another incident of the same group."""

    id: str
    title: str
    severity: Severity
    status: Status
    created_at: datetime


class GroupOut(Model):
    """The group of incidents that an incident belongs to."""

    id: str = Field(description="For `GET /v1/incidents?group=`.")
    rule: str = Field(description="The name of the rule, in the settings.")
    labels: dict[str, str] = Field(description="What its incidents have in common.")
    started_at: datetime = Field(description="When its first incident was opened.")
    size: int = Field(description="How many incidents have joined it.")
    first: str = Field(description="The id of its oldest incident.")
    related: list[RelatedIncident] = Field(description="The others, oldest first.")


class ServiceOut(Model):
    """A service of the catalogue."""

    name: str
    owner: str | None = Field(description="The team that looks after it.")
    on_call: str | None = Field(description="How that team is reached.")
    tier: str | None
    runbook: str | None = Field(description="URL of what to do.")
    dashboards: list[str]
    depends_on: list[str] = Field(description="Names of other services.")


class IncidentDetail(IncidentOut):
    """An incident with its history and its notifications, oldest first."""

    assessment: AssessmentOut
    group: GroupOut | None = Field(description="The incidents that it belongs with; null if there is no rule for it.")
    service: ServiceOut | None = Field(description="What the catalogue says of its service now; null if nothing.")
    timeline: list[TimelineOut]
    notifications: list[NotificationOut]


class IncidentPage(Model):
    """One page of incidents, newest first."""

    incidents: list[IncidentOut]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


class IncidentCreate(Command):
    """An incident that a person or a program reports."""

    title: Line
    severity: SeverityIn
    by: Name | None = Field(default=None, description="Who reports it; the token's name if nobody is named.")
    description: Text = ""
    source: Name = "manual"
    labels: Labels = Field({})
    annotations: Labels = Field({})
    assignee: Name | None = None


class IncidentPatch(Command):
    """What to change; what is left out stays as it is."""

    by: Name | None = Field(default=None, description="Who changes it; the token's name if nobody is named.")
    version: int | None = Field(
        default=None, ge=1, description="The version that was read; 409 if it is another one now."
    )
    title: Line | None = None
    description: Text | None = None
    severity: SeverityIn | None = None
    status: Status | None = None
    assignee: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = Field(
        default=None, description="Who works on it; an empty text unassigns."
    )
    note: Text | None = Field(
        default=None, description="Goes into the timeline; with status `resolved` it is the resolution."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> "IncidentPatch":
        if not self.model_fields_set - {"by", "version"}:
            raise ValueError("name at least one of title, description, severity, status, assignee, note")
        return self


class Acknowledge(Command):
    """Who has seen the incident."""

    by: Name | None = Field(default=None, description="Who says so; the token's name if nobody is named.")
    version: int | None = Field(
        default=None, ge=1, description="The version that was read; 409 if it is another one now."
    )


class Resolve(Command):
    """Who has solved the incident, and how."""

    by: Name | None = Field(default=None, description="Who says so; the token's name if nobody is named.")
    version: int | None = Field(
        default=None, ge=1, description="The version that was read; 409 if it is another one now."
    )
    resolution: Text | None = None


# Circuit breakers
