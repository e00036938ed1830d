"""The webhook of Sentinel, which detects anomalies of models: `{event_type, timestamp, data, signature?}`.

Its header `X-Sentinel-Signature` is the HMAC-SHA256, in hexadecimal digits, of the JSON text as it was before the
member `signature` was added to it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, StrictFloat

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.ids import event_id
from incident_manager.ingest.fields import (
    KEY_LIMIT,
    TITLE_LIMIT,
    Details,
    LooseText,
    Timestamp,
    as_text,
    shorten,
)
from incident_manager.ingest.labelled import link_or_none, severity_of
from incident_manager.ingest.validation import validate

SOURCE = "sentinel"

_STATUS = {"anomaly.detected": AlertStatus.FIRING, "anomaly.resolved": AlertStatus.RESOLVED}


class Anomaly(BaseModel):
    """What Sentinel found. Unknown fields are ignored."""

    alert_id: str = Field(min_length=1, max_length=KEY_LIMIT)
    timestamp: Timestamp = None
    severity: LooseText = ""
    anomaly_type: str = Field(min_length=1, max_length=KEY_LIMIT)
    service_name: str = Field(min_length=1, max_length=KEY_LIMIT)
    model: LooseText = ""
    detection_method: LooseText = ""
    confidence: StrictFloat | None = None
    details: Details = {}
    context: Details = {}
    root_cause: LooseText = ""
    remediation: list[str] | None = None
    related_alerts: list[str] | None = None
    runbook_url: LooseText = ""


class SentinelWebhook(BaseModel):
    """One webhook. Unknown fields are ignored."""

    event_type: Literal["anomaly.detected", "anomaly.resolved"]
    timestamp: Timestamp = None
    data: Anomaly
    signature: str | None = None


def parse_sentinel(payload: object, received_at: datetime) -> list[Alert]:
    """Read a webhook. Anomalies of one kind in one service, model and region are one trouble, whatever their ids.

    The same event about the same `alert_id` is the same message, which Sentinel may deliver again.

    Raises:
        InvalidAlertError: The payload is not such a webhook.
    """
    webhook = validate(SentinelWebhook, payload)
    found, status = webhook.data, _STATUS[webhook.event_type]
    at = found.timestamp or webhook.timestamp
    labels = _labels(found)
    return [
        new_alert(
            id=event_id(SOURCE, webhook.event_type, found.alert_id),
            source=SOURCE,
            status=status,
            title=_title(found),
            description=found.root_cause,
            severity=severity_of({"severity": found.severity}, "data"),
            labels=labels,
            annotations=_annotations(found),
            starts_at=at if status is AlertStatus.FIRING else None,
            ends_at=(webhook.timestamp or at) if status is AlertStatus.RESOLVED else None,
            received_at=received_at,
            generator_url=link_or_none(found.runbook_url),
        )
    ]


def _title(found: Anomaly) -> str:
    kind = found.anomaly_type.replace("_", " ")
    of = f"{found.service_name} ({found.model})" if found.model else found.service_name
    return shorten(f"{kind[:1].upper()}{kind[1:]} in {of}", TITLE_LIMIT)


def _labels(found: Anomaly) -> dict[str, str]:
    """Return what the trouble is about, which is its identity."""
    values = {
        "service": found.service_name,
        "model": found.model,
        "anomaly_type": found.anomaly_type,
        "metric": found.details.get("metric", ""),
        "region": found.context.get("region", ""),
    }
    return {name: value for name, value in values.items() if value}


def _annotations(found: Anomaly) -> dict[str, str]:
    values: dict[str, Any] = {
        **{f"context.{name}": value for name, value in found.context.items()},
        **found.details,
        "alert_id": found.alert_id,
        "detection_method": found.detection_method,
        "confidence": None if found.confidence is None else as_text(found.confidence),
        "remediation": "\n".join(found.remediation or ()),
        "related_alerts": ", ".join(found.related_alerts or ()),
        "runbook_url": link_or_none(found.runbook_url),
    }
    return {name: value for name, value in values.items() if value}


def is_signed(body: str, signature: str, secret: str) -> bool:
    """Tell whether the signature is Sentinel's for this text. The comparison takes the same time for any signature.

    Args:
        body: The JSON text as it came; it must be valid.
        signature: Of the header, or of the body's own member: hexadecimal digits.
        secret: What both sides share.
    """
    expected = hmac.new(secret.encode(), without_member(body, "signature").encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.strip().lower().encode("utf-8", "replace"))


def without_member(text: str, name: str) -> str:
    """Cut one member out of the text of a JSON object, and leave every other character as it is.

    Reading and writing the JSON again would write numbers and escapes in another way than their sender did.

    Args:
        text: A valid JSON text, whose object names each member once; one that is no object is returned as it is.
    """
    decoder = json.JSONDecoder()
    position = _skip_space(text, 0)
    if text[position : position + 1] != "{":
        return text
    members: list[tuple[int, int, str]] = []  # where each begins and ends, and its name
    position = _skip_space(text, position + 1)
    while text[position] != "}":
        start = position
        key, position = decoder.raw_decode(text, position)
        position = _skip_space(text, _skip_space(text, position) + 1)  # over the colon
        _, position = decoder.raw_decode(text, position)
        members.append((start, position, key))
        position = _skip_space(text, position)
        if text[position] == ",":
            position = _skip_space(text, position + 1)
    found = next((index for index, member in enumerate(members) if member[2] == name), None)
    if found is None:
        return text
    start, end, _ = members[found]
    if found > 0:
        start = members[found - 1][1]  # with the comma before it
    elif len(members) > 1:
        end = members[1][0]  # with the comma behind it
    return text[:start] + text[end:]


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\n\r":
        position += 1
    return position


def signature_of(payload: object) -> str | None:
    """Return the member `signature` of a webhook, if it is there.

    Raises:
        InvalidAlertError: It is no text.
    """
    if not isinstance(payload, dict) or payload.get("signature") is None:
        return None
    if not isinstance(payload["signature"], str):
        raise InvalidAlertError("signature", payload["signature"], "must be hexadecimal digits")
    return payload["signature"]
