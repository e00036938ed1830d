"""Forgetting what is too old, one bounded batch within one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import BindParameter, Column, Delete, Table, bindparam, delete, exists, select

from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import (
    IS_ENDED,
    alerts,
    assessments,
    audit,
    breaker_tallies,
    breaker_transitions,
    group_members,
    incident_groups,
    incidents,
    outbox,
    timeline,
)

INCIDENTS = 50
"""Incidents in a batch, at most."""

ROWS = 1000
"""Rows of each table in a batch, at most: an incident may have any number of alerts."""

Forget: TypeAlias = Callable[[UnitOfWork, datetime], Awaitable[int]]
"""Forgets what is older than a moment, a batch of it, and returns how many rows went; 0 when nothing is left."""

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_OLD = (
    select(incidents.c.id)
    .where(
        IS_ENDED,
        incidents.c.resolved_at < bindparam("before"),
        # What is owed to somebody, or is being worked on, stays until that is over.
        ~exists().where(outbox.c.incident_id == incidents.c.id, outbox.c.status == "pending"),
        ~exists().where(assessments.c.incident_id == incidents.c.id, assessments.c.leased_by.is_not(None)),
        ~exists().where(group_members.c.incident_id == incidents.c.id, group_members.c.is_pending),
    )
    .order_by(incidents.c.resolved_at)
    .limit(INCIDENTS)
    .with_for_update(skip_locked=True, of=incidents)
)
_FORGET = delete(incidents).where(incidents.c.id.in_(_IDS))


def _some_of(table: Table) -> Delete:
    """Delete rows that belong to some incidents, a batch at most."""
    key = next(iter(table.primary_key))
    return delete(table).where(key.in_(select(key).where(table.c.incident_id.in_(_IDS)).limit(ROWS)))


#: What refers to incidents goes before them.
_BELONGINGS = tuple(_some_of(table) for table in (outbox, assessments, group_members, timeline, alerts))
_STRAY_ALERTS = delete(alerts).where(
    alerts.c.id.in_(
        select(alerts.c.id)
        .where(alerts.c.incident_id.is_(None), alerts.c.received_at < bindparam("before"))
        .order_by(alerts.c.id)
        .limit(ROWS)
    )
)
_EMPTY_GROUPS = delete(incident_groups).where(
    incident_groups.c.id.in_(
        select(incident_groups.c.id)
        .where(
            incident_groups.c.started_at < bindparam("before"),
            ~exists().where(group_members.c.group_id == incident_groups.c.id),
        )
        .order_by(incident_groups.c.id)
        .limit(ROWS)
    )
)
_first_entries = select(audit.c.sequence, audit.c.at).order_by(audit.c.sequence).limit(ROWS).subquery()
_AUDIT = delete(audit).where(
    audit.c.sequence.in_(select(_first_entries.c.sequence).where(_first_entries.c.at < bindparam("before")))
)


def _older(table: Table, at: Column[Any]) -> Delete:
    """Forget rows from before `before`, the oldest first."""
    oldest = select(table.c.sequence).where(at < bindparam("before")).order_by(at).limit(ROWS)
    return delete(table).where(table.c.sequence.in_(oldest))


_OLD_TRANSITIONS = _older(breaker_transitions, breaker_transitions.c.at)
_OLD_TALLIES = _older(breaker_tallies, breaker_tallies.c.ends_at)


async def forget_incidents(unit: UnitOfWork, before: datetime) -> int:
    """Forget incidents that ended before a moment, with their alerts, timeline, notifications and findings.

    Those that another process is changing, or that somebody is still to be told of, are left.
    """
    ids = list(await unit.connection.scalars(_OLD, {"before": before}))
    if not ids:
        return 0
    gone, complete = 0, True
    for statement in _BELONGINGS:
        rows = (await unit.connection.execute(statement, {"ids": ids})).rowcount
        complete = complete and rows < ROWS
        gone += rows
    if complete:
        gone += (await unit.connection.execute(_FORGET, {"ids": ids})).rowcount
    return gone


async def forget_empty_groups(unit: UnitOfWork, before: datetime) -> int:
    """Forget groups that began before a moment and whose incidents are all forgotten."""
    return (await unit.connection.execute(_EMPTY_GROUPS, {"before": before})).rowcount


async def forget_stray_alerts(unit: UnitOfWork, before: datetime) -> int:
    """Forget alerts of no incident that were received before a moment."""
    return (await unit.connection.execute(_STRAY_ALERTS, {"before": before})).rowcount


async def forget_audit(unit: UnitOfWork, before: datetime) -> int:
    """Forget entries of the audit log from before a moment, from its beginning on."""
    return (await unit.connection.execute(_AUDIT, {"before": before})).rowcount


async def forget_breaker_history(unit: UnitOfWork, before: datetime) -> int:
    """Forget what the circuit breakers went through before a moment."""
    gone = (await unit.connection.execute(_OLD_TRANSITIONS, {"before": before})).rowcount
    return gone + (await unit.connection.execute(_OLD_TALLIES, {"before": before})).rowcount
