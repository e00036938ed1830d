"""What goes in and out over HTTP. Timestamps are UTC (RFC 3339), durations seconds, severities P0 (worst) to P4."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from incident_manager.access.roles import Role
from incident_manager.domain.assessment import Job
from incident_manager.domain.delivery import DeliveryStatus, NotificationEvent
from incident_manager.domain.incident import Status
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineKind
from incident_manager.ingest.fields import written_out
from recloser import Control, State


class Model(BaseModel):
    """Base of all answers: made from any object with the same attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Command(BaseModel):
    """Base of all request bodies: a field that does not exist is an error, not a silent loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _severity(value: object) -> object:
    return Severity.parse(value) if isinstance(value, str) else value


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999") from None


Moment = Annotated[AwareDatetime, BeforeValidator(written_out), AfterValidator(_utc)]
SeverityIn = Annotated[
    Severity,
    BeforeValidator(_severity, json_schema_input_type=str),
    Field(description="P0 to P4, or a usual word such as critical, warning or info."),
]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(max_length=20_000)]
Labels = Annotated[dict[Name, Text], Field(max_length=100)]


class ErrorBody(Model):
    """What went wrong."""

    code: str = Field(description="A word for programs.", examples=["incident_not_found"])
    message: str = Field(description="A sentence for people.")
    field: str | None = Field(
        default=None, description="The part of the request that is wrong.", examples=["alerts[0].title"]
    )
    request_id: str | None = Field(default=None, description="`X-Request-Id` of the answer; the log has it too.")


class ErrorAnswer(Model):
    """The answer to every request that failed."""

    error: ErrorBody


# Alerts


class AcceptedAlert(Model):
    """What became of one alert. It is stored."""

    alert_id: str
    incident_id: str | None = Field(description="The incident it belongs to; null when there is none, or not yet.")
    action: Literal["opened", "updated", "acknowledged", "resolved", "ignored", "journaled"] = Field(
        description="`journaled`: on disk, and an incident as soon as the database can be used again."
    )


class AcceptedAlerts(Model):
    """What became of the alerts of one request, in its order."""

    alerts: list[AcceptedAlert]


# Incidents


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
    labels: Labels = {}
    annotations: Labels = {}
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


class TransitionCount(Model):
    """How often one change of state happened."""

    from_state: State
    to_state: State
    count: int


class CircuitBreakerOut(Model):
    """One circuit breaker as it is now. Counters have grown since the service was started."""

    name: str
    state: State
    control: Control = Field(description="Who decides: `automatic`, or what an operator has ordered.")
    control_reason: str | None
    since: datetime = Field(description="When the state last changed.")
    time_in_state: float = Field(description="Seconds since then.")
    retry_after: float | None = Field(description="Seconds until a call may go through; null when an operator decides.")
    calls: dict[str, int] = Field(description="Calls by how they ended, and `rejected` ones.")
    successful: int
    failed: int
    rejected: int
    in_flight: int
    consecutive_failures: int
    failure_rate: float | None = Field(description="Failed calls over calls in the window, 0 to 1.")
    slow_call_rate: float | None
    window_calls: int
    attempt: int = Field(description="Openings since it was last closed.")
    transitions: list[TransitionCount]
    last_failure: str | None


class CircuitBreakersHealth(Model):
    """How many circuit breakers are in which state."""

    total: int
    closed: int
    open: int
    half_open: int
    healthy: bool = Field(description="Every one of them is closed.")


class CircuitBreakerList(Model):
    """All circuit breakers of the service."""

    circuit_breakers: list[CircuitBreakerOut]


class Order(Command):
    """Why an operator takes over; it is shown until the breaker is reset."""

    reason: Line


class Reset(Command):
    """Why an operator gives control back."""

    reason: Line = "reset"


class ResetAll(Model):
    """What was reset."""

    reset: list[str] = Field(description="Names of the circuit breakers, all of them.")


# Tokens and audit


class TokenOut(Model):
    """What is known of a token; not its secret."""

    id: str
    name: str
    roles: list[Role]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class NewTokenOut(TokenOut):
    """A new token with its text, which is shown here and never again."""

    token: str


class TokenList(Model):
    """The tokens that the database keeps, revoked ones too, oldest first."""

    tokens: list[TokenOut]


class TokenCreate(Command):
    """A token to be made."""

    name: Name = Field(description="Who or what will hold it; it stands where a change says who made it.")
    roles: Annotated[list[Role], Field(min_length=1, max_length=4)] = Field(
        description="`respond` includes `read`, `admin` includes all others."
    )
    expires_at: Moment | None = Field(default=None, description="From this moment on it opens nothing.")


class AuditOut(Model):
    """One change: who made it, when, and of what."""

    sequence: int
    at: datetime
    token_id: str | None = Field(description="The token that was shown; null without one.")
    actor: str
    address: str
    action: str
    target: str
    changes: dict[str, Any] = Field(description="`from` and `to` of each part that changed.")
    request_id: str | None


class AuditPage(Model):
    """One page of the audit log, newest first."""

    entries: list[AuditOut]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


# Health


class Alive(Model):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(Model):
    """The service takes requests."""

    status: Literal["ready"] = "ready"
    database: Literal["open", "starting"] = Field(
        description="`starting`: not reached since the start; alerts are journaled, all else is answered 503."
    )


class JournalHealth(Model):
    """The alerts that were accepted while the database could not be used."""

    waiting: int = Field(description="Alerts that are not in the database yet.")
    oldest_age: float = Field(description="Seconds that the first of them has waited; 0 when none waits.")
    set_aside: int = Field(description="Alerts that the database refused. They are kept, and tried at the next start.")
    bytes: int = Field(description="Size of all of them.")


class Health(Model):
    """The service and what it depends on. The service itself is up whatever this says."""

    status: Literal["healthy", "degraded"] = Field(
        description="`degraded` while a circuit is not closed, the database cannot be asked, "
        "alerts are in the journal, deliveries stand still, or a changed file is refused."
    )
    version: str
    journal: JournalHealth
    circuit_breakers: CircuitBreakersHealth
    waiting_notifications: dict[str, int] | None = Field(
        description="Notifications not delivered yet, by destination; null while the database cannot be asked."
    )
    delivery_problems: dict[str, str] = Field(
        description="What keeps notifications of a destination from being worked on, other than an open circuit."
    )
    configuration_problems: dict[str, str] = Field(
        description="Why a file that has changed is refused; what it said before is still in force. By `settings` and "
        "`catalog`."
    )
