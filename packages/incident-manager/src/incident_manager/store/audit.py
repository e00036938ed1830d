"""The statements on the audit log, within one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select

from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import audit


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who changed what. Written once, never changed.

    Attributes:
        sequence: Order, given by the store; None before that.
        token_id: The token that was shown; None without one.
        actor: Who it was: the token's name, or the name that was claimed.
        address: Where the request came from; `local` for the command line.
        action: What was done, such as `incident.resolve`.
        target: To what: an incident's id, a token's id, a circuit breaker's name.
        changes: What became of each changed part, `{name: {"from": ..., "to": ...}}`, JSON-ready.
        request_id: The request's `X-Request-Id`.
    """

    at: datetime
    actor: str
    address: str
    action: str
    target: str
    token_id: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    sequence: int | None = None


_COLUMNS = tuple(column.name for column in audit.c if column.name != "sequence")
_NEWEST = select(audit).order_by(audit.c.sequence.desc()).limit(bindparam("most"))
_BEFORE = _NEWEST.where(audit.c.sequence < bindparam("before"))


async def add_audit(unit: UnitOfWork, entries: Iterable[AuditEntry]) -> None:
    """Write entries, in the order given."""
    rows = [{name: getattr(entry, name) for name in _COLUMNS} for entry in entries]
    if rows:
        await unit.connection.execute(insert(audit), rows)


async def newest_audit(unit: UnitOfWork, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
    """Return up to `limit` entries, newest first, older than the one numbered `before`."""
    statement, values = (_NEWEST, {"most": limit}) if before is None else (_BEFORE, {"most": limit, "before": before})
    return [AuditEntry(**row._asdict()) for row in await unit.connection.execute(statement, values)]
