"""Our own format: one alert, or `{"alerts": [...]}`."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.ingest.fields import (
    DEFAULT_SEVERITY,
    KEY_LIMIT,
    SOURCE_LIMIT,
    TITLE_LIMIT,
    Labels,
    Link,
    SeverityWord,
    StatusWord,
    Timestamp,
)
from incident_manager.ingest.validation import validate


class NativeAlert(BaseModel):
    """One alert as `POST /v1/alerts` takes it. Unknown fields are refused, since a misspelt one would be lost."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=TITLE_LIMIT, description="What is wrong, in one line.")
    description: str = ""
    source: str = Field("api", min_length=1, max_length=SOURCE_LIMIT, description="Which system says so.")
    status: StatusWord = Field("firing", description="`firing`, or `resolved` when the trouble is over.")
    severity: SeverityWord = Field(
        DEFAULT_SEVERITY, description="P0 (critical) to P4 (info), or a usual word such as `warning`."
    )
    labels: Labels = Field({}, description="What the trouble is about; with `source`, its identity.")
    annotations: Labels = Field({}, description="What helps to deal with it; no part of its identity.")
    starts_at: Timestamp = Field(None, description="When it began; the moment of receipt if not given.")
    ends_at: Timestamp = Field(
        None, description="When it ended; of a firing one, when it counts as over unless it is sent again."
    )
    dedup_key: str | None = Field(None, max_length=KEY_LIMIT, description="Your own identity for it, before labels.")
    generator_url: Link | None = Field(None, description="A link to what raised it.")


class NativeBatch(BaseModel):
    """Several alerts, stored all or none."""

    model_config = ConfigDict(extra="forbid")

    alerts: list[NativeAlert] = Field(min_length=1)


def parse_native(payload: object, received_at: datetime) -> list[Alert]:
    """Read one alert or a batch.

    Raises:
        InvalidAlertError: The payload breaks a rule; nothing of a batch is to be stored then.
    """
    if isinstance(payload, dict) and "alerts" in payload:
        batch = validate(NativeBatch, payload).alerts
        return [_alert(item, received_at, f"alerts[{index}].") for index, item in enumerate(batch)]
    return [_alert(validate(NativeAlert, payload), received_at, "")]


def _alert(item: NativeAlert, received_at: datetime, prefix: str) -> Alert:
    if not item.title.strip():
        raise InvalidAlertError(f"{prefix}title", item.title, "must not be blank")
    if item.starts_at and item.ends_at and item.ends_at < item.starts_at:
        raise InvalidAlertError(f"{prefix}ends_at", item.ends_at.isoformat(), "must not be before starts_at")
    fields = {name: getattr(item, name) for name in NativeAlert.model_fields if name != "status"}
    return new_alert(received_at=received_at, status=AlertStatus(item.status), **fields)
