"""Events of PagerDuty's Events API v2, so that whatever can page through PagerDuty can send here.

Format: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/ and the reference,
https://github.com/PagerDuty/api-schema/blob/main/reference/events-v2/openapiv3.json.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.fields import TITLE_LIMIT, LooseText, as_text, shorten
from incident_manager.ingest.labelled import link_or_none
from incident_manager.ingest.validation import validate

SOURCE = "pagerduty"
DEDUP_KEY_LIMIT = 255

_STATUS = {
    "trigger": AlertStatus.FIRING,
    "acknowledge": AlertStatus.ACKNOWLEDGED,
    "resolve": AlertStatus.RESOLVED,
}
_LABELS = ("source", "component", "group", "class")


class PagerDutyPayload(BaseModel):
    """What is wrong. Unknown fields are ignored."""

    summary: str
    source: str
    severity: Literal["critical", "error", "warning", "info"]
    timestamp: Any = None
    component: LooseText = ""
    group: LooseText = ""
    class_: LooseText = Field("", alias="class")
    custom_details: Any = None


class PagerDutyEvent(BaseModel):
    """One event. `payload` is needed to trigger, `dedup_key` for the other actions. Unknown fields are ignored."""

    routing_key: str
    event_action: Literal["trigger", "acknowledge", "resolve"]
    dedup_key: LooseText = ""
    payload: PagerDutyPayload | None = None
    images: Any = None
    links: Any = None
    client: LooseText = ""
    client_url: LooseText = ""


@dataclass(frozen=True)
class Event:
    """An event that was read; `dedup_key` is what its sender is told."""

    dedup_key: str
    alert: Alert


def parse_pagerduty(payload: object, received_at: datetime) -> Event:
    """Read an event. Its key is chosen here when it triggers without one, as PagerDuty does.

    Raises:
        InvalidAlertError: PagerDuty would refuse it too. The error never holds the routing key.
    """
    event = _read(payload)
    if event.event_action == "trigger" and event.payload is None:
        raise InvalidAlertError("payload", None, "is missing")
    if event.event_action != "trigger" and not event.dedup_key:
        raise InvalidAlertError("dedup_key", event.dedup_key, "is missing or blank")
    if len(event.dedup_key) > DEDUP_KEY_LIMIT:
        raise InvalidAlertError("dedup_key", event.dedup_key, f"is too long (maximum is {DEDUP_KEY_LIMIT} characters)")
    key = event.dedup_key or uuid.uuid4().hex
    about: dict[str, Any] = {"title": f"PagerDuty event {key}"}
    if event.payload is not None:
        about = _about(event.payload, received_at)
        about["annotations"] |= _extras(event)
    alert = new_alert(
        source=SOURCE,
        status=_STATUS[event.event_action],
        received_at=received_at,
        dedup_key=f"{_service(event.routing_key)}/{key}",
        generator_url=link_or_none(event.client_url),
        **about,
    )
    return Event(key, alert)


def _read(payload: object) -> PagerDutyEvent:
    if not isinstance(payload, dict):
        raise InvalidAlertError("event", payload, "must be a JSON object")
    for field in ("routing_key", "event_action"):
        _require_text(payload, field, field)
    details = payload.get("payload")
    if payload["event_action"] == "trigger" and isinstance(details, dict):
        for field in ("summary", "source", "severity"):
            _require_text(details, field, f"payload.{field}")
    elif payload["event_action"] != "trigger":  # what would be ignored need not be right
        payload = {**payload, "payload": None}
    return validate(PagerDutyEvent, payload)


def _require_text(values: Mapping[str, Any], field: str, path: str) -> None:
    value = values.get(field)
    if not isinstance(value, str) or not value.strip():
        raise InvalidAlertError(path, None if field == "routing_key" else value, "is missing or blank")


def _service(routing_key: str) -> str:
    """Return a name for whatever the routing key stands for: keys of events are separate in each.

    It is a part of the key's digest, since the key itself is a secret.
    """
    return hashlib.sha256(routing_key.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _about(payload: PagerDutyPayload, received_at: datetime) -> dict[str, Any]:
    """Return what the payload says, as fields of an alert."""
    values = {name: getattr(payload, "class_" if name == "class" else name) for name in _LABELS}
    annotations = _details(payload.custom_details)
    began = _moment(payload.timestamp)
    if began is None and payload.timestamp is not None:
        annotations["timestamp"] = as_text(payload.timestamp)
    return {
        "title": shorten(payload.summary.strip(), TITLE_LIMIT),
        "description": payload.summary if len(payload.summary.strip()) > TITLE_LIMIT else "",
        "severity": Severity.parse(payload.severity),
        "labels": {name: value for name, value in values.items() if value},
        "annotations": annotations,
        # A resolving event has no time of its own, so that a trigger from the future could never be resolved.
        "starts_at": None if began is None else min(began, received_at),
    }


def _details(custom_details: Any) -> dict[str, str]:
    if isinstance(custom_details, dict):
        return {name: as_text(value) for name, value in custom_details.items()}
    return {} if custom_details is None else {"custom_details": as_text(custom_details)}


def _extras(event: PagerDutyEvent) -> dict[str, str]:
    found = {"client": event.client, "client_url": link_or_none(event.client_url)}
    for name in ("links", "images"):
        found[name] = as_text(value) if (value := getattr(event, name)) else None
    return {name: value for name, value in found.items() if value}


_MOMENT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


def _moment(value: Any) -> datetime | None:
    """Return the time of an event, or None: senders write it in many ways, and none is worth losing the event."""
    if not isinstance(value, str) or "-" not in value:
        return None
    for text in (value, f"{value}Z"):
        try:
            moment = _MOMENT.validate_python(text)
        except ValidationError:
            continue
        return moment.astimezone(UTC) if 1970 <= moment.year < 9999 else None
    return None
