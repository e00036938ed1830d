"""The statements on the history of the circuit breakers, within one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, case, delete, func, insert, or_, select

from incident_manager.history.kpis import Changes
from incident_manager.history.records import Tally, Transition, add_up
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_FINE, breaker_tallies, breaker_transitions
from recloser import State

ROWS = 1000
"""Rows in a batch, at most."""

_TRANSITION = tuple(column.name for column in breaker_transitions.c if column.name != "sequence")
_TALLY = tuple(column.name for column in breaker_tallies.c if column.name not in ("sequence", "is_rolled_up"))
_CLEAR_TRANSITIONS = delete(breaker_transitions).where(
    breaker_transitions.c.instance == bindparam("by"),
    breaker_transitions.c.number.between(bindparam("first"), bindparam("last")),
)
_CLEAR_TALLIES = delete(breaker_tallies).where(
    breaker_tallies.c.instance == bindparam("by"), breaker_tallies.c.starts_at >= bindparam("since")
)
_TALLIES = select(*(breaker_tallies.c[name] for name in _TALLY)).where(
    breaker_tallies.c.ends_at > bindparam("since"), breaker_tallies.c.starts_at < bindparam("until")
)
_columns = breaker_transitions.c
_KIND = (_columns.breaker, _columns.from_state, _columns.to_state, _columns.by_operator)
_CHANGES = (
    select(
        *_KIND,
        func.count().label("count"),
        func.sum(_columns.stayed).label("stayed"),
        func.coalesce(func.sum(_columns.recovery_seconds), 0.0).label("recovery_seconds"),
        func.sum(case((_columns.rejected > 0, 1), else_=0)).label("contained"),
    )
    .where(
        _columns.at > bindparam("since"),
        _columns.at <= bindparam("until"),
        or_(_columns.instance != bindparam("but_of"), _columns.number < bindparam("from_number")),
    )
    .group_by(*_KIND)
)
_NEWEST = (
    select(breaker_transitions)
    .where(breaker_transitions.c.breaker == bindparam("of_breaker"))
    .order_by(breaker_transitions.c.sequence.desc())
    .limit(bindparam("most"))
)
_BEFORE = _NEWEST.where(breaker_transitions.c.sequence < bindparam("before"))
_FIRST = select(breaker_tallies.c.starts_at).order_by(breaker_tallies.c.ends_at).limit(1)
_FINE = (
    select(breaker_tallies)
    .where(breaker_tallies.c.ends_at < bindparam("before"), IS_FINE)
    .order_by(breaker_tallies.c.ends_at)
    .limit(ROWS)
    .with_for_update(skip_locked=True)
)
_FORGET_FINE = delete(breaker_tallies).where(breaker_tallies.c.sequence.in_(bindparam("sequences", expanding=True)))


async def write_history(
    unit: UnitOfWork, instance: str, transitions: Sequence[Transition], tallies: Sequence[Tally]
) -> None:
    """Keep what a process went through. Writing the same again changes nothing.

    Args:
        unit: The transaction.
        instance: The process.
        transitions: Of it, in order and without gaps.
        tallies: Of it; they replace what is kept of it from the beginning of the first one on.
    """
    if transitions:
        span = {"by": instance, "first": transitions[0].number, "last": transitions[-1].number}
        await unit.connection.execute(_CLEAR_TRANSITIONS, span)
        rows = [{name: getattr(one, name) for name in _TRANSITION} for one in transitions]
        await unit.connection.execute(insert(breaker_transitions), rows)
    if tallies:
        since = min(one.starts_at for one in tallies)
        await unit.connection.execute(_CLEAR_TALLIES, {"by": instance, "since": since})
        await unit.connection.execute(insert(breaker_tallies), [_row(one, rolled_up=False) for one in tallies])


async def tallies_between(unit: UnitOfWork, since: datetime, until: datetime) -> Sequence[Tally]:
    """Return the tallies that overlap a period."""
    rows = await unit.connection.execute(_TALLIES, {"since": since, "until": until})
    return [Tally(**row._asdict()) for row in rows]


async def changes_between(
    unit: UnitOfWork, since: datetime, until: datetime, *, but_of: str = "", from_number: int = 0
) -> Sequence[Changes]:
    """Return the transitions in a period, summed up; those of one process from a number on are left out."""
    values = {"since": since, "until": until, "but_of": but_of, "from_number": from_number}
    rows = await unit.connection.execute(_CHANGES, values)
    return [Changes(**{**row._asdict(), **_states(row), "contained": int(row.contained)}) for row in rows]


async def newest_transitions(
    unit: UnitOfWork, breaker: str, limit: int, before: int | None = None
) -> Sequence[Transition]:
    """Return up to `limit` transitions of a breaker, newest first, older than the one with the sequence `before`."""
    values: dict[str, Any] = {"of_breaker": breaker, "most": limit}
    statement = _NEWEST
    if before is not None:
        statement, values["before"] = _BEFORE, before
    rows = await unit.connection.execute(statement, values)
    return [Transition(**{**row._asdict(), **_states(row)}) for row in rows]


async def first_tally(unit: UnitOfWork) -> datetime | None:
    """Return when the history begins; None when there is none."""
    begins: datetime | None = await unit.connection.scalar(_FIRST)
    return begins


async def roll_up(unit: UnitOfWork, before: datetime, instance: str) -> int:
    """Put tallies that ended before a moment together by the hour, a batch of them; return how many rows went.

    What another process is putting together is left to it.

    Args:
        unit: The transaction.
        before: The moment.
        instance: What the sums are kept under, new for each call.
    """
    rows = (await unit.connection.execute(_FINE, {"before": before})).all()
    if not rows:
        return 0
    sums = add_up(instance, (Tally(**{name: getattr(row, name) for name in _TALLY}) for row in rows))
    await unit.connection.execute(_FORGET_FINE, {"sequences": [row.sequence for row in rows]})
    await unit.connection.execute(insert(breaker_tallies), [_row(one, rolled_up=True) for one in sums])
    return len(rows)


def _row(tally: Tally, *, rolled_up: bool) -> dict[str, Any]:
    return {**{name: getattr(tally, name) for name in _TALLY}, "is_rolled_up": rolled_up}


def _states(row: Row[Any]) -> dict[str, State]:
    return {"from_state": State(row.from_state), "to_state": State(row.to_state)}
