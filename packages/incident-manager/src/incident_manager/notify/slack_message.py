"""An incident as a Slack message, inside Slack's limits by construction.

Limits: https://docs.slack.dev/reference/block-kit/blocks. A header has 150 characters, a section 3000 or ten fields of
2000 each, a message 50 blocks. Characters are counted as UTF-16 units, the strictest of the ways a receiver may count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.domain.severity import Severity

HEADER_LIMIT = 150
SECTION_LIMIT = 3000
FIELD_LIMIT = 2000
TEXT_LIMIT = 3000

_ELLIPSIS = "…"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
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


def escape(text: str, limit: int) -> str:
    """Text for a `mrkdwn` object: `&`, `<` and `>` escaped, cut to `limit` without splitting an escape."""
    return _fit((_ENTITIES.get(character, character) for character in text), limit)


def plain(text: str, limit: int) -> str:
    """Text for a `plain_text` object, cut to `limit`; Slack interprets nothing in it."""
    return _fit(text, limit)


def block_message(delivery: Delivery) -> dict[str, Any]:
    """The message with Block Kit blocks, and a top-level text for notifications and screen readers."""
    incident = delivery.payload
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": plain(_headline(delivery), HEADER_LIMIT)}}
    ]
    description = _text(incident.get("description")).strip()
    if description:
        blocks.append(_section(escape(description, SECTION_LIMIT)))
    facts = [f"*{name}*\n{value}" for name, value in _facts(incident, FIELD_LIMIT - 100)]
    if facts:
        blocks.append({"type": "section", "fields": [_mrkdwn(fact) for fact in facts]})
    labels = _labels(incident)
    if labels:
        blocks.append(_section(escape(labels, SECTION_LIMIT)))
    blocks.append({"type": "context", "elements": [_mrkdwn(escape(delivery.incident_id, HEADER_LIMIT))]})
    return {"text": escape(_headline(delivery), TEXT_LIMIT), "blocks": blocks}


def plain_message(delivery: Delivery) -> dict[str, Any]:
    """The same as text alone, for when Slack refuses the blocks."""
    incident = delivery.payload
    lines = [
        escape(_headline(delivery), 500),
        escape(_text(incident.get("description")).strip(), 1500),
        *(f"{name}: {value}" for name, value in _facts(incident, 80)),
        escape(delivery.incident_id, HEADER_LIMIT),
    ]
    return {"text": "\n".join(line for line in lines if line)}


def _headline(delivery: Delivery) -> str:
    incident = delivery.payload
    severity = _text(incident.get("severity"))
    if severity in Severity.__members__:
        severity = f"{severity} {Severity(severity).label}"
    # A header is one line; Slack refuses one that is blank.
    title = " ".join(_text(incident.get("title")).split()) or "Incident without a title"
    return f"{_VERBS[delivery.event]}[{severity}] {title}"


def _facts(incident: Mapping[str, Any], limit: int) -> list[tuple[str, str]]:
    """Names and values, already escaped and cut."""
    values = ((name, _text(incident.get(key)).strip()) for name, key in _FACTS)
    return [(name, escape(value, limit)) for name, value in values if value]


def _labels(incident: Mapping[str, Any]) -> str:
    labels = incident.get("labels")
    if not isinstance(labels, Mapping):
        return ""
    return _text("\n".join(f"{key}={value}" for key, value in sorted(labels.items())))


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def _text(value: object) -> str:
    if value is None:
        return ""
    # JSON can carry half of a surrogate pair, which is no text and which Slack refuses.
    return str(value).encode("utf-16", "replace").decode("utf-16", "replace")


def _fit(pieces: Iterable[str], limit: int) -> str:
    """Join pieces that stay whole; if they do not fit, end with an ellipsis."""
    kept: list[str] = []
    room = limit
    for piece in pieces:
        room -= _units(piece)
        if room < 0:
            return _end(kept, limit)
        kept.append(piece)
    return "".join(kept)


def _end(kept: list[str], limit: int) -> str:
    room = limit - _units(_ELLIPSIS) - sum(map(_units, kept))
    while room < 0:
        room += _units(kept.pop())
    return "".join(kept) + _ELLIPSIS


def _units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) + sum(character > "\uffff" for character in text)
