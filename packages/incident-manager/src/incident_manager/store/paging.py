"""Choosing incidents, and walking through them page by page."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from incident_manager.domain.errors import InvalidCursorError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.severity import Severity
from incident_manager.store.schema import incidents

_ID = re.compile(r"inc_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFilter:
    """Which incidents; each condition that is given must hold, and an empty collection gives no condition.

    Attributes:
        text: Occurs in the title, in any case.
        since: Created at this moment or after it.
        until: Created before this moment.
    """

    statuses: Collection[Status] = ()
    severities: Collection[Severity] = ()
    sources: Collection[str] = ()
    fingerprint: str | None = None
    assignee: str | None = None
    acknowledged: bool | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some incidents, newest first, and the cursor of the page after them; None on the last page."""

    incidents: list[Incident]
    next_cursor: str | None


def select_page(where: IncidentFilter, limit: int, cursor: str | None) -> Select[Any]:
    """Return the query for one page and one incident more, which tells whether another page follows.

    Ids sort by creation time, so the order is that of creation and never changes: an incident that comes or goes
    between two pages moves no other one.

    Raises:
        InvalidCursorError: The cursor is not one of ours.
    """
    query = select(incidents).where(*_conditions(where)).order_by(incidents.c.id.desc()).limit(limit + 1)
    return query if cursor is None else query.where(incidents.c.id < _read_cursor(cursor))


def to_page(found: list[Incident], limit: int) -> Page:
    """Cut what `select_page` found to the page."""
    page = found[:limit]
    return Page(page, _write_cursor(page[-1].id) if len(found) > limit else None)


def _conditions(where: IncidentFilter) -> list[ColumnElement[bool]]:
    column = incidents.c
    conditions: list[ColumnElement[bool]] = []
    for chosen, values in (
        (column.status, where.statuses),
        (column.severity, where.severities),
        (column.source, where.sources),
    ):
        if values:
            conditions.append(chosen.in_([str(value) for value in values]))
    for chosen, value in ((column.fingerprint, where.fingerprint), (column.assignee, where.assignee)):
        if value is not None:
            conditions.append(chosen == value)
    if where.acknowledged is not None:
        conditions.append(
            column.acknowledged_at.is_not(None) if where.acknowledged else column.acknowledged_at.is_(None)
        )
    if where.text:
        conditions.append(column.title.icontains(where.text, autoescape=True))
    if where.since is not None:
        conditions.append(column.created_at >= where.since)
    if where.until is not None:
        conditions.append(column.created_at < where.until)
    return conditions


def _write_cursor(incident_id: str) -> str:
    return base64.urlsafe_b64encode(incident_id.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> str:
    try:
        incident_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        raise InvalidCursorError(cursor) from None
    if not _ID.fullmatch(incident_id):
        raise InvalidCursorError(cursor)
    return incident_id
