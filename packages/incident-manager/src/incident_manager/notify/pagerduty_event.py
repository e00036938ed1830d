"""An incident as an event of PagerDuty's Events API v2, inside its limits by construction.

Format and limits: https://developer.pagerduty.com/docs/send-alert-event and
https://developer.pagerduty.com/docs/events-api-v2-overview. An event has 512 KB, a summary 1024 characters, a
deduplication key 255.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.domain.severity import Severity
from incident_manager.notify.wording import as_text, cut, facts, headline, labels, one_line, service_facts

EVENT_LIMIT = 512 * 1024
"""Bytes; an event is smaller than this."""
SUMMARY_LIMIT = 1024
KEY_LIMIT = 255

SEVERITIES = {
    Severity.P0: "critical",
    Severity.P1: "error",
    Severity.P2: "warning",
    Severity.P3: "info",
    Severity.P4: "info",
}
"""PagerDuty's word for each severity; it has four."""

ACTIONS = {
    NotificationEvent.TRIGGERED: "trigger",
    NotificationEvent.ESCALATED: "trigger",
    NotificationEvent.ACKNOWLEDGED: "acknowledge",
    NotificationEvent.RESOLVED: "resolve",
}
"""An escalation is a trigger with the same key: PagerDuty updates the alert, and its severity."""

_SOURCE_LIMIT = 255
_CUTS = (8192, 1024, 128)
"""Characters left of each long text, tried in this order until the event fits."""


def pagerduty_event(delivery: Delivery, routing_key: str, summary: str | None = None) -> bytes:
    """The request body of one event, below `EVENT_LIMIT` bytes.

    What is too much is cut from `custom_details`, which then say so: `"truncated": true`.

    Args:
        delivery: What to tell. Its event decides the action, not the incident's status.
        routing_key: The integration's key.
        summary: Instead of the built-in one.
    """
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": ACTIONS[delivery.event],
        "dedup_key": cut(delivery.incident_id, KEY_LIMIT),
    }
    if event["event_action"] != "trigger":
        return _encode(event)
    incident = delivery.payload
    event["client"] = "LLM Incident Manager"
    event["payload"] = {
        "summary": cut(one_line(summary) or headline(delivery), SUMMARY_LIMIT),
        "source": cut(one_line(incident.get("source")) or "incident-manager", _SOURCE_LIMIT),
        "severity": _severity(incident),
        "timestamp": delivery.created_at.isoformat(),
    }
    room = EVENT_LIMIT - len(_encode(event)) - len(',"custom_details":') - 1
    event["payload"]["custom_details"] = _fitting(_details(delivery), room)
    return _encode(event)


def _severity(incident: Mapping[str, Any]) -> str:
    severity = as_text(incident.get("severity"))
    return SEVERITIES[Severity(severity)] if severity in Severity.__members__ else "warning"


def _details(delivery: Delivery) -> dict[str, Any]:
    incident = delivery.payload
    known = [*facts(incident), *service_facts(incident)]
    return {
        "incident_id": delivery.incident_id,
        "notification_id": delivery.id,
        "priority": as_text(incident.get("severity")),
        "description": as_text(incident.get("description")),
        **{name.lower().replace(" ", "_"): value for name, value in known},
        "labels": dict(labels(incident)),
        "annotations": dict(labels(incident, "annotations")),
    }


def _fitting(details: dict[str, Any], room: int) -> dict[str, Any]:
    """The details, or as much of them as fits into `room` bytes."""
    if len(_encode(details)) <= room:
        return details
    for limit in _CUTS:
        shortened = {**_shortened(details, limit), "truncated": True}
        if len(_encode(shortened)) <= room:
            return shortened
    return _fewer(shortened, room)


def _shortened(details: Mapping[str, Any], limit: int) -> dict[str, Any]:
    return {
        cut(key, limit): _shortened(value, limit) if isinstance(value, Mapping) else cut(value, limit)
        for key, value in details.items()
    }


def _fewer(details: dict[str, Any], room: int) -> dict[str, Any]:
    """The details with only as many labels, then annotations, as there is room for."""
    kept = {**details, "labels": {}, "annotations": {}}
    room -= len(_encode(kept))
    for part in ("labels", "annotations"):
        for key, value in details[part].items():
            room -= len(_encode({key: value}))  # two braces instead of one comma: never too little
            if room < 0:
                return kept
            kept[part][key] = value
    return kept


def _encode(value: object) -> bytes:
    # ASCII: every character then takes the bytes that are counted here, whatever the receiver counts.
    return json.dumps(value, separators=(",", ":")).encode("ascii")
