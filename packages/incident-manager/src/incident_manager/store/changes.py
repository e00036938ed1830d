"""Reading what happened to incidents after a point in their common history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Text, bindparam, cast, func, literal, select

from incident_manager.domain.incident import Status
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineKind
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import incidents, timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of an incident's history, with the incident as it is when the line is read."""

    sequence: int
    at: datetime
    actor: str
    kind: TimelineKind
    message: str
    data: dict[str, Any]
    incident_id: str
    title: str
    severity: Severity
    status: Status
    source: str
    version: int
    assignee: str | None
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reading:
    """Changes in order, and which transactions were under way when they were read.

    Attributes:
        latest: The highest number there is, or that was read.
        oldest_running: Transactions with a lower number had ended.
        next_transaction: No transaction had this number or a higher one yet.
    """

    changes: Sequence[Change]
    latest: int
    oldest_running: int
    next_transaction: int


def _running(dialect: str) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """The bounds of the transactions under way. SQLite has one writer at a time, so none is when another reads."""
    if dialect != "postgresql":
        return literal(0), literal(0)
    snapshot = func.pg_current_snapshot()
    # https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
    xmin, xmax = func.pg_snapshot_xmin(snapshot), func.pg_snapshot_xmax(snapshot)
    return cast(cast(xmin, Text), BigInteger), cast(cast(xmax, Text), BigInteger)


_OF_INCIDENT = ("title", "severity", "status", "source", "version", "assignee", "acknowledged_at")


def _changes(dialect: str) -> Select[Any]:
    oldest, following = _running(dialect)
    of_incident = (incidents.c[name] for name in _OF_INCIDENT)
    return (
        select(*timeline.c, *of_incident, oldest.label("oldest_running"), following.label("next_transaction"))
        .join_from(timeline, incidents, timeline.c.incident_id == incidents.c.id)
        .where(timeline.c.sequence > bindparam("after"))
        .order_by(timeline.c.sequence)
        .limit(bindparam("most"))
    )


def _latest(dialect: str) -> Select[Any]:
    oldest, following = _running(dialect)
    return select(
        func.coalesce(func.max(timeline.c.sequence), 0).label("latest"),
        oldest.label("oldest_running"),
        following.label("next_transaction"),
    )


_CHANGES = {name: _changes(name) for name in ("sqlite", "postgresql")}
_LATEST = {name: _latest(name) for name in ("sqlite", "postgresql")}


async def changes_after(unit: UnitOfWork, after: int, limit: int) -> Reading:
    """Return up to `limit` changes numbered above `after`.

    Numbers are given before transactions commit, so a lower one may still appear: `Reading` says whether it can.
    """
    statement = _CHANGES[unit.connection.dialect.name]
    rows = (await unit.connection.execute(statement, {"after": after, "most": limit})).all()
    changes = [_to_change(row._asdict()) for row in rows]
    if not rows:
        return Reading((), after, 0, 0)
    return Reading(changes, changes[-1].sequence, rows[0].oldest_running, rows[0].next_transaction)


async def latest_change(unit: UnitOfWork) -> Reading:
    """Return where the history ends now, without its changes."""
    row = (await unit.connection.execute(_LATEST[unit.connection.dialect.name])).one()
    return Reading((), row.latest, row.oldest_running, row.next_transaction)


def _to_change(values: dict[str, Any]) -> Change:
    del values["oldest_running"], values["next_transaction"]
    values["kind"] = TimelineKind(values["kind"])
    values["severity"] = Severity(values["severity"])
    values["status"] = Status(values["status"])
    return Change(**values)
