"""Choosing incidents, and walking through them page by page."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnClause
from sqlalchemy.types import Boolean

from incident_manager.domain.errors import InvalidCursorError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.order import SortOrder
from incident_manager.domain.severity import Severity
from incident_manager.store.schema import group_members, incidents

_CURSOR = re.compile(r"([0-9a-f]{16})\.(-?\d{1,17})\.(inc_[0-9a-f]{32})\.([0-9a-f]{8})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFilter:
    """Which incidents; each condition that is given must hold, and an empty collection gives no condition.

    Attributes:
        labels: All of these labels have these values.
        text: Occurs in the title, in any case.
        group: The id of the group they belong to.
        since: Created at this moment or after it.
        until: Created before this moment.
        updated_since: Last changed at this moment or after it.
        updated_until: Last changed before this moment.
    """

    statuses: Collection[Status] = ()
    severities: Collection[Severity] = ()
    sources: Collection[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    assignee: str | None = None
    acknowledged: bool | None = None
    text: str | None = None
    group: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    updated_since: datetime | None = None
    updated_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some incidents, in the order asked for, and the cursor of the page after them; None on the last page."""

    incidents: list[Incident]
    next_cursor: str | None


def select_page(
    where: IncidentFilter, limit: int, cursor: str | None, order: SortOrder = SortOrder.NEWEST
) -> Select[Any]:
    """Return the query for one page and one incident more, which tells whether another page follows.

    Ids sort by creation time, so the orders by creation never change: an incident that comes or goes between two
    pages moves no other one. In the order of changes an incident that is changed meanwhile moves to the front, and
    may be met twice.

    Raises:
        InvalidCursorError: The cursor is not one of ours, or is of another query.
    """
    column = incidents.c
    query = select(incidents).where(*_conditions(where)).limit(limit + 1)
    position = None if cursor is None else _read_cursor(cursor, _digest(where, order))
    match order:
        case SortOrder.NEWEST:
            query = query.order_by(column.id.desc())
            return query if position is None else query.where(column.id < position[1])
        case SortOrder.OLDEST:
            query = query.order_by(column.id)
            return query if position is None else query.where(column.id > position[1])
        case SortOrder.UPDATED:
            query = query.order_by(column.updated_at.desc(), column.id.desc())
            if position is None:
                return query
            at, incident_id = position
            return query.where(or_(column.updated_at < at, and_(column.updated_at == at, column.id < incident_id)))


def to_page(found: list[Incident], limit: int, where: IncidentFilter, order: SortOrder = SortOrder.NEWEST) -> Page:
    """Cut what `select_page` found to the page."""
    page = found[:limit]
    return Page(page, _write_cursor(page[-1], _digest(where, order)) if len(found) > limit else None)


class _HasLabel(ColumnElement[bool]):
    """Whether `incidents.labels` has a label with a value."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, name: str, value: str) -> None:
        self.name_, self.value = literal(name), literal(value)
        self.pair = literal(json.dumps({name: value}))


@compiles(_HasLabel, "sqlite")
def _has_label_sqlite(element: _HasLabel, compiler: SQLCompiler, **options: Any) -> str:
    # Not json_extract: a label's name may hold anything, and a path would have to quote it.
    name, value = (compiler.process(part, **options) for part in (element.name_, element.value))
    of_label = f"json_each.key = {name} AND json_each.value = {value}"  # both are parameters
    return f"EXISTS (SELECT 1 FROM json_each(incidents.labels) WHERE {of_label})"  # noqa: S608


@compiles(_HasLabel, "postgresql")
def _has_label_postgresql(element: _HasLabel, compiler: SQLCompiler, **options: Any) -> str:
    return f"incidents.labels @> CAST({compiler.process(element.pair, **options)} AS JSONB)"


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
    conditions += [_HasLabel(name, value) for name, value in where.labels.items()]
    if where.acknowledged is not None:
        conditions.append(
            column.acknowledged_at.is_not(None) if where.acknowledged else column.acknowledged_at.is_(None)
        )
    if where.group is not None:
        of_group = select(group_members.c.incident_id).where(group_members.c.group_id == where.group)
        conditions.append(column.id.in_(of_group))
    if where.text:
        conditions.append(column.title.icontains(where.text, autoescape=True))
    return (
        conditions
        + _between(column.created_at, where.since, where.until)
        + _between(column.updated_at, where.updated_since, where.updated_until)
        + _id_range(where)
    )


def _between(column: ColumnClause[Any], since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(column >= since)
    if until is not None:
        conditions.append(column < until)
    return conditions


def _id_range(where: IncidentFilter) -> list[ColumnElement[bool]]:
    """Say of ids what is said of the time of creation, to the millisecond: ids are indexed."""
    conditions: list[ColumnElement[bool]] = []
    if where.since is not None:
        conditions.append(incidents.c.id >= _first_id(where.since, 0))
    if where.until is not None:
        conditions.append(incidents.c.id < _first_id(where.until, 1))
    return conditions


def _first_id(at: datetime, later: int) -> str:
    """Return where the ids of a moment begin; `later` is in milliseconds."""
    milliseconds = int(at.timestamp() * 1000) + later
    return f"inc_{min(max(milliseconds, 0), 0xFFFF_FFFF_FFFF):012x}"


def _digest(where: IncidentFilter, order: SortOrder) -> str:
    """Return what tells one query from another."""
    conditions = {
        name: sorted(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else value
        for name, value in asdict(where).items()
    }
    text = json.dumps([order, conditions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _write_cursor(last: Incident, query: str) -> str:
    microseconds = (last.updated_at - _EPOCH) // (datetime.resolution)
    text = f"{query}.{microseconds}.{last.id}"
    return base64.urlsafe_b64encode(f"{text}.{_checksum(text)}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str, query: str) -> tuple[datetime, str]:
    """Return the last change and the id of the last incident of the page before."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidCursorError(cursor) from None
    match = _CURSOR.fullmatch(text)
    if match is None or match[1] != query or match[4] != _checksum(text.rpartition(".")[0]):
        raise InvalidCursorError(cursor)
    return _EPOCH + int(match[2]) * datetime.resolution, match[3]


def _checksum(text: str) -> str:
    """Return what betrays a cursor that somebody has changed. A cursor opens nothing, so that it needs no secret."""
    return hashlib.sha256(f"cursor of incidents: {text}".encode()).hexdigest()[:8]
