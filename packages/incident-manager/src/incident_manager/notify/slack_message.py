"""An incident as a Slack message, inside Slack's limits by construction.

Limits: https://docs.slack.dev/reference/block-kit/blocks. A header has 150 characters, a section 3000 or ten fields of
2000 each, a message 50 blocks. Characters are counted as UTF-16 units, the strictest of the ways a receiver may count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from incident_manager.domain.delivery import Delivery
from incident_manager.notify.wording import as_text, facts, headline, labels, service_facts

HEADER_LIMIT = 150
SECTION_LIMIT = 3000
FIELD_LIMIT = 2000
TEXT_LIMIT = 3000

_ELLIPSIS = "…"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PIECE = re.compile(r"&[a-z]+;|<[^<>]*>|.", re.DOTALL)


def escape(text: str, limit: int) -> str:
    """Text for a `mrkdwn` object: `&`, `<` and `>` escaped, cut to `limit` without splitting an escape."""
    return _fit((_ENTITIES.get(character, character) for character in text), limit)


def plain(text: str, limit: int) -> str:
    """Text for a `plain_text` object, cut to `limit`; Slack interprets nothing in it."""
    return _fit(text, limit)


def marked_up(text: str) -> dict[str, Any]:
    """The message whose text is `mrkdwn` already, cut to the limit without splitting an escape or a link."""
    return {"text": _fit(_PIECE.findall(text), TEXT_LIMIT)}


def block_message(delivery: Delivery) -> dict[str, Any]:
    """The message with Block Kit blocks, and a top-level text for notifications and screen readers."""
    incident = delivery.payload
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": plain(headline(delivery), HEADER_LIMIT)}}
    ]
    description = as_text(incident.get("description")).strip()
    if description:
        blocks.append(_section(escape(description, SECTION_LIMIT)))
    fields = [f"*{name}*\n{escape(value, FIELD_LIMIT - 100)}" for name, value in facts(incident)]
    if fields:
        blocks.append({"type": "section", "fields": [_mrkdwn(field) for field in fields]})
    fields = [f"*{name}*\n{escape(value, FIELD_LIMIT - 100)}" for name, value in service_facts(incident)]
    if fields:
        blocks.append({"type": "section", "fields": [_mrkdwn(field) for field in fields]})
    lines = "\n".join(f"{name}={value}" for name, value in labels(incident))
    if lines:
        blocks.append(_section(escape(lines, SECTION_LIMIT)))
    blocks.append({"type": "context", "elements": [_mrkdwn(escape(delivery.incident_id, HEADER_LIMIT))]})
    return {"text": escape(headline(delivery), TEXT_LIMIT), "blocks": blocks}


def plain_message(delivery: Delivery) -> dict[str, Any]:
    """The same as text alone, for when Slack refuses the blocks."""
    incident = delivery.payload
    lines = [
        escape(headline(delivery), 500),
        escape(as_text(incident.get("description")).strip(), 1500),
        *(f"{name}: {escape(value, 80)}" for name, value in facts(incident)),
        *(f"{name}: {escape(value, 200)}" for name, value in service_facts(incident)),
        escape(delivery.incident_id, HEADER_LIMIT),
    ]
    return {"text": "\n".join(line for line in lines if line)}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


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
