"""Leases on the rows of a table: who holds them, and the statements that take them, end them and tell the next one due.

A table of leases has the columns `next_attempt_at`, `leased_by` and `lease_until`.
"""

from __future__ import annotations

import os
import socket
import uuid
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Table,
    TextClause,
    Update,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

FREE: dict[str, None] = {"leased_by": None, "lease_until": None}
"""What a row holds that nobody has leased."""


def new_worker(part: str) -> str:
    """Return a name for what holds leases: `<host>:<process>:<8 hexadecimal digits>/<part>`, never given twice."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}/{part}"


def claiming(
    table: Table, key: Column[Any], is_pending: TextClause, *returned: ColumnElement[Any]
) -> ReturningUpdate[Any]:
    """Lease to `worker`, until `until`, rows that are due at `now`: the longest due first, `most` at most.

    Args:
        table: A table of leases.
        key: Tells its rows apart, and which of those that are due at once comes first.
        is_pending: Of the rows that are to be leased at all.
        returned: What is returned of each.
    """
    due = (
        select(key)
        .where(
            is_pending,
            table.c.next_attempt_at <= bindparam("now"),
            or_(table.c.lease_until.is_(None), table.c.lease_until <= bindparam("now")),
        )
        .order_by(table.c.next_attempt_at, key)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )
    claim = update(table).where(key.in_(due)).values(leased_by=bindparam("worker"), lease_until=bindparam("until"))
    return claim.returning(*returned)


def releasing(table: Table) -> Update:
    """End every lease of `worker`."""
    return update(table).where(table.c.leased_by == bindparam("worker")).values(**FREE)


def next_due(table: Table, is_pending: TextClause) -> Select[Any]:
    """Tell when the next row can be leased."""
    attempt, lease = table.c.next_attempt_at, table.c.lease_until
    return select(func.min(case((lease > attempt, lease), else_=attempt))).where(is_pending)
