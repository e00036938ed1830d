"""What goes in and out over HTTP. Timestamps are UTC (RFC 3339), durations seconds, severities P0 (worst) to P4."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from incident_manager.domain.severity import Severity
from incident_manager.ingest.fields import written_out


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
