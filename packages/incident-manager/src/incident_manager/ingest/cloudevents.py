"""CloudEvents 1.0, read as alerts.

Formats: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, its JSON format and its HTTP binding. What
an event means is up to its type, so this reads what senders of alerts commonly write:

- severity and status: the extension attributes `severity` and `status`, else the same names in the data, else the end
  of the type (`com.example.disk.full.resolved`);
- what it is about, which is its identity: the extension attribute `dedupkey`, else `dedup_key` in the data, else
  `source`, `subject` and `type` without such an end;
- title and description: `title` (or `summary`, `message`, `name`) and `description` in the data, else subject and type.

`source` and `id` are the identity of one message: delivered again, it counts once.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.ids import event_id
from incident_manager.domain.severity import Severity
from incident_manager.ingest.fields import DEFAULT_SEVERITY, KEY_LIMIT, TITLE_LIMIT, Timestamp, as_text, shorten
from incident_manager.ingest.labelled import link_or_none
from incident_manager.ingest.validation import validate

SOURCE = "cloudevents"

_FIRING = frozenset(
    ("firing", "fired", "open", "opened", "active", "alerting", "triggered", "problem", "failing", "failed", "detected")
)
_RESOLVED = frozenset(("resolved", "ok", "closed", "recovered", "cleared", "inactive", "healthy"))


class CloudEvent(BaseModel):
    """One event. Extension attributes may have any name that is not listed; they become labels."""

    model_config = ConfigDict(extra="allow")

    specversion: str
    id: str = Field(min_length=1, max_length=KEY_LIMIT)
    source: str = Field(min_length=1, max_length=KEY_LIMIT)
    type: str = Field(min_length=1, max_length=KEY_LIMIT)
    subject: str | None = Field(None, max_length=KEY_LIMIT)
    time: Timestamp = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Any = None
    data_base64: str | None = None


def parse_cloudevents(payload: object, received_at: datetime) -> list[Alert]:
    """Read one event as a JSON object, or a batch as an array of them.

    Raises:
        InvalidAlertError: An event breaks a rule; nothing of a batch is to be stored then.
    """
    if isinstance(payload, list):
        return [_alert(item, received_at, f"[{index}]") for index, item in enumerate(payload)]
    return [_alert(payload, received_at, "")]


def binary_event(headers: Mapping[str, str], content_type: str | None, data: Any) -> dict[str, Any]:
    """Return the event whose attributes are `ce-` headers (binary mode), in its JSON form.

    Args:
        headers: All headers of the request, their names in lower case.
        content_type: The `datacontenttype` of the event.
        data: The JSON value of the body, or its bytes if it is no JSON, or None if there is no body.

    Raises:
        InvalidAlertError: An attribute cannot be kept.
    """
    event: dict[str, Any] = {}
    for header, value in headers.items():
        name = header.removeprefix("ce-")
        if name == header or name in ("data", "data_base64"):  # these are members of the JSON form only
            continue
        event[name] = unquote(value.strip().removeprefix('"').removesuffix('"'))
        if "\0" in event[name]:
            raise InvalidAlertError(name, event[name], "must not contain U+0000")
    if content_type:
        event["datacontenttype"] = content_type
    if isinstance(data, bytes):
        event["data_base64"] = base64.b64encode(data).decode()
    elif data is not None:
        event["data"] = data
    return event


def _alert(payload: object, received_at: datetime, path: str) -> Alert:
    event = validate(CloudEvent, payload, path)
    prefix = f"{path}." if path else ""
    if event.specversion != "1.0":
        raise InvalidAlertError(f"{prefix}specversion", event.specversion, "must be 1.0")
    data = _data_of(event, prefix)
    fields = data if isinstance(data, dict) else {}
    extensions = _extensions(event, prefix)
    kind, by_type = _split_type(event.type)
    status = _status(extensions, fields, f"{prefix}status") or by_type or AlertStatus.FIRING
    resolved = status is AlertStatus.RESOLVED
    return new_alert(
        id=event_id(SOURCE, event.source, event.id),
        source=SOURCE,
        status=status,
        title=_title(event, fields),
        description=_description(data, fields),
        severity=_severity(extensions, fields),
        labels=_labels(event, kind, extensions, fields),
        annotations=_annotations(event, data),
        starts_at=None if resolved else event.time,
        ends_at=event.time if resolved else None,
        received_at=received_at,
        dedup_key=_identity(event, kind, extensions, fields),
        generator_url=link_or_none(_text(fields, "url", "link", "generator_url")),
    )


def _data_of(event: CloudEvent, prefix: str) -> Any:
    """Return the data: a JSON value, text, or what base64 it came in if it is neither."""
    if event.data_base64 is None:
        return event.data
    if event.data is not None:
        raise InvalidAlertError(f"{prefix}data_base64", event.data_base64, "must not stand beside data")
    try:
        decoded = base64.b64decode(event.data_base64, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidAlertError(f"{prefix}data_base64", event.data_base64, "must be base64 (RFC 4648)") from None
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        return event.data_base64
    if "\0" in text:  # no database keeps it
        return event.data_base64
    return _json_or_text(text) if _is_json(event.datacontenttype) else text


def _is_json(content_type: str | None) -> bool:
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _json_or_text(text: str) -> Any:
    """Return the value of a JSON text, or the text if it is not one that can be kept whole."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
        as_text(value).encode()
    except (ValueError, RecursionError):
        return text
    return text if "\\u0000" in text else value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of members that have different names. Raises ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _extensions(event: CloudEvent, prefix: str) -> dict[str, str]:
    found = {}
    for name, value in (event.model_extra or {}).items():
        if isinstance(value, list | dict):
            raise InvalidAlertError(
                f"{prefix}{name}", value, "must be a text, a number or a boolean, as attributes are"
            )
        try:
            as_text([name, value]).encode()
        except UnicodeEncodeError:
            raise InvalidAlertError(
                f"{prefix}{name}", value, "must be text without halves of surrogate pairs"
            ) from None
        if value is not None:
            found[name] = as_text(value)
    return found


def _split_type(kind: str) -> tuple[str, AlertStatus | None]:
    """Return the type without an end that is a status, and that status."""
    stem, _, end = kind.rpartition(".")
    status = _status_word(end) if stem else None
    return (kind, None) if status is None else (stem, status)


def _status_word(word: str) -> AlertStatus | None:
    word = word.strip().lower()
    if word == "acknowledged":
        return AlertStatus.ACKNOWLEDGED
    if word in _RESOLVED:
        return AlertStatus.RESOLVED
    return AlertStatus.FIRING if word in _FIRING else None


def _status(extensions: Mapping[str, str], fields: Mapping[str, Any], path: str) -> AlertStatus | None:
    """Return the status that is told. A word of the data that is no status may mean anything, and is passed over."""
    given = extensions.get("status")
    if given is None:
        return _status_word(_text(fields, "status"))
    status = _status_word(given)
    if status is None:
        raise InvalidAlertError(path, given, f"must be one of {', '.join(sorted(_FIRING | _RESOLVED))}, acknowledged")
    return status


def _severity(extensions: Mapping[str, str], fields: Mapping[str, Any]) -> Severity:
    for word in (extensions.get("severity", ""), _text(fields, "severity")):
        if word:
            try:
                return Severity.parse(word)
            except ValueError:
                return DEFAULT_SEVERITY
    return DEFAULT_SEVERITY


def _title(event: CloudEvent, fields: Mapping[str, Any]) -> str:
    found = _text(fields, "title", "summary", "message", "name").strip()
    return shorten(found or ": ".join(part for part in (event.subject, event.type) if part), TITLE_LIMIT)


def _description(data: Any, fields: Mapping[str, Any]) -> str:
    return data if isinstance(data, str) else _text(fields, "description")


def _labels(event: CloudEvent, kind: str, extensions: Mapping[str, str], fields: Mapping[str, Any]) -> dict[str, str]:
    given = fields.get("labels")
    own = {name: as_text(value) for name, value in given.items()} if isinstance(given, dict) else {}
    subject = {"ce_subject": event.subject} if event.subject else {}
    return {**own, **extensions, "ce_source": event.source, "ce_type": kind, **subject}


def _annotations(event: CloudEvent, data: Any) -> dict[str, str]:
    schema = {"dataschema": event.dataschema} if event.dataschema else {}
    kept = {} if data is None or isinstance(data, str) else {"data": as_text(data)}
    return {"ce_id": event.id, **schema, **kept}


def _identity(event: CloudEvent, kind: str, extensions: Mapping[str, str], fields: Mapping[str, Any]) -> str:
    own = extensions.get("dedupkey") or _text(fields, "dedup_key")
    return as_text([event.source, own] if own else [event.source, event.subject, kind])


def _text(fields: Mapping[str, Any], *names: str) -> str:
    """Return the first of the fields that is text, or an empty one."""
    return next((value for name in names if isinstance(value := fields.get(name), str) and value), "")
