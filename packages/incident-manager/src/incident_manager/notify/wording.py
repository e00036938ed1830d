"""What is said of an incident, the same to every kind of destination, before it is escaped and cut for one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.domain.severity import Severity

UNTITLED = "Incident without a title"

# C0, DEL and C1; the separators U+2028 and U+2029, which some receivers take for line ends; and the marks that change
# the direction of what follows, with which one text can be made to look like another.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_VERBS = {
    NotificationEvent.TRIGGERED: "",
    NotificationEvent.ACKNOWLEDGED: "Acknowledged: ",
    NotificationEvent.RESOLVED: "Resolved: ",
    NotificationEvent.ESCALATED: "Escalated: ",
}
_FACTS = (
    ("Status", "status"),
    ("Source", "source"),
    ("Alerts", "alert_count"),
    ("First seen", "first_seen"),
    ("Last seen", "last_seen"),
    ("Acknowledged by", "acknowledged_by"),
    ("Assignee", "assignee"),
    ("Resolved by", "resolved_by"),
    ("Resolution", "resolution"),
)
_SERVICE_FACTS = (
    ("Service", "name"),
    ("Owner", "owner"),
    ("On call", "on_call"),
    ("Tier", "tier"),
    ("Runbook", "runbook"),
)


def headline(delivery: Delivery) -> str:
    """Return one line: what happened, how bad it is, and the title."""
    return f"{_VERBS[delivery.event]}[{severity_of(delivery.payload)}] {title_of(delivery.payload)}"


def title_of(incident: Mapping[str, Any]) -> str:
    """Return the title on one line, never empty: some receivers refuse an empty one."""
    return one_line(incident.get("title")) or UNTITLED


def severity_of(incident: Mapping[str, Any]) -> str:
    """Return the severity with its word: `P1 high`."""
    severity = one_line(incident.get("severity"))
    return f"{severity} {Severity(severity).label}" if severity in Severity.__members__ else severity


def facts(incident: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what else is known, name and value, at most ten; what is not known is left out."""
    values = [(name, as_text(incident.get(key)).strip()) for name, key in _FACTS]
    values.append(("Group", _group(incident.get("group"))))
    return [(name, value) for name, value in values if value]


def service_facts(incident: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the catalogue says of the service an incident is about, name and value; at most six."""
    service = incident.get("service")
    if not isinstance(service, Mapping):
        return []
    dashboards = service.get("dashboards")
    values = [(name, as_text(service.get(key)).strip()) for name, key in _SERVICE_FACTS]
    values.append(("Dashboards", " ".join(map(as_text, dashboards)) if isinstance(dashboards, list) else ""))
    return [(name, value) for name, value in values if value]


def _group(group: object) -> str:
    """What an incident has in common with others: `3 incidents: cluster=eu1`."""
    if not isinstance(group, Mapping) or not isinstance(size := group.get("size"), int) or size < 2:
        return ""
    return f"{size} incidents: " + ", ".join(f"{name}={value}" for name, value in labels(group))


def labels(incident: Mapping[str, Any], key: str = "labels") -> list[tuple[str, str]]:
    """Return the labels (or annotations), sorted by name."""
    found = incident.get(key)
    if not isinstance(found, Mapping):
        return []
    return sorted((as_text(name), as_text(value)) for name, value in found.items())


def as_text(value: object) -> str:
    """Return a value as text that can be encoded; None is empty."""
    if value is None:
        return ""
    # JSON can carry half of a surrogate pair, which is no text and which receivers refuse.
    return str(value).encode("utf-16", "replace").decode("utf-16", "replace")


def one_line(value: object) -> str:
    """Return a value as text on one line, without control characters."""
    return printable(" ".join(as_text(value).split()))


def printable(text: str) -> str:
    """Drop control characters other than line breaks and tabs."""
    return _CONTROL.sub("", text)


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters, with an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
