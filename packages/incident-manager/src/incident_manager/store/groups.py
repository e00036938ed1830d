"""Which incidents belong together, and those of which that is still to be found out.

Workers in any number of processes share what waits by leases, as they share the assessments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from incident_manager.domain.delivery import GROUP
from incident_manager.domain.errors import DuplicateGroupError
from incident_manager.domain.grouping import MEMBERS_SHOWN, Group, GroupingRule, GroupKey
from incident_manager.domain.ids import new_id
from incident_manager.domain.incident import Incident
from incident_manager.store import leases, mapping
from incident_manager.store.repository import UnitOfWork, chunks
from incident_manager.store.schema import (
    IS_PENDING,
    IS_TO_BE_GROUPED,
    group_members,
    incident_groups,
    incidents,
    outbox,
)

if TYPE_CHECKING:
    from incident_manager.store.database import Store


_members, _groups = group_members.c, incident_groups.c
_CLAIM = leases.claiming(group_members, _members.incident_id, IS_TO_BE_GROUPED, _members.incident_id)
_OWN = (
    select(group_members)
    .where(_members.incident_id == bindparam("of_incident"), _members.leased_by == bindparam("worker"))
    .with_for_update()
)
_SETTLE = (
    update(group_members)
    .where(_members.incident_id == bindparam("of_incident"))
    .values(group_id=bindparam("in_group"), is_pending=False, **leases.FREE)
)
_LOOK_AGAIN = (
    update(group_members)
    .where(_members.incident_id.in_(bindparam("of_incidents", expanding=True)))
    .values(is_pending=True, next_attempt_at=bindparam("at"), **leases.FREE)
)
_REOPEN_HELD = (
    update(group_members)
    .where(_members.incident_id.in_(select(outbox.c.incident_id).where(IS_PENDING, outbox.c.held_by == GROUP)))
    .values(is_pending=True, next_attempt_at=bindparam("at"), **leases.FREE)
)
_RELEASE = leases.releasing(group_members)
_NEXT_DUE = leases.next_due(group_members, IS_TO_BE_GROUPED)
_UNDECIDED = select(_members.incident_id).where(
    _members.incident_id == bindparam("of_incident"), _members.group_id.is_(None), IS_TO_BE_GROUPED
)
_NEWEST = (
    select(incident_groups)
    .where(_groups.key == bindparam("of_key"))
    .order_by(_groups.number.desc())
    .limit(1)
    .with_for_update()
)
_LOCK = select(incident_groups).where(_groups.id == bindparam("group_id")).with_for_update()
_GROW = (
    update(incident_groups)
    .where(_groups.id == bindparam("group_id"))
    .values(size=_groups.size + 1)
    .returning(*incident_groups.c)
)
_OF_INCIDENTS = (
    select(_members.incident_id, *incident_groups.c)
    .join_from(group_members, incident_groups, _members.group_id == _groups.id)
    .where(_members.incident_id.in_(bindparam("of_incidents", expanding=True)))
)
_MEMBERS = (
    select(incidents)
    .join_from(group_members, incidents, _members.incident_id == incidents.c.id)
    .where(_members.group_id == bindparam("in_group"))
    .order_by(incidents.c.id)
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class Membership:
    """What is known of the group of one incident.

    Attributes:
        rule: The name of the rule that is about it.
        labels: What it shares with others, by that rule.
        group_id: The group; None as long as nobody has looked.
    """

    incident_id: str
    rule: str
    labels: dict[str, str]
    group_id: str | None

    @property
    def key(self) -> GroupKey:
        """What it shares with others."""
        return GroupKey(rule=self.rule, labels=self.labels)


async def add(unit: UnitOfWork, keys: Mapping[str, GroupKey], at: datetime) -> None:
    """Ask for new incidents to be grouped, within the transaction that stores them; keys are by incident."""
    rows: list[dict[str, Any]] = [
        {
            "incident_id": incident_id,
            "rule": key.rule,
            "labels": dict(key.labels),
            "is_pending": True,
            "next_attempt_at": at,
        }
        for incident_id, key in keys.items()
    ]
    if rows:
        await unit.connection.execute(insert(group_members), rows)


async def look_again(unit: UnitOfWork, incident_ids: Collection[str], at: datetime) -> None:
    """Ask for the groups of incidents to be looked at again; who is looking already has looked too early."""
    for some in chunks(sorted(incident_ids)):
        await unit.connection.execute(_LOOK_AGAIN, {"of_incidents": some, "at": at})


async def reopen_held(unit: UnitOfWork, at: datetime) -> None:
    """Ask for every group that spares somebody a notification to be looked at again: the rules may be others."""
    await unit.connection.execute(_REOPEN_HELD, {"at": at})


async def is_undecided(unit: UnitOfWork, incident_id: str) -> bool:
    """Tell whether the group of an incident is still to be found."""
    return await unit.connection.scalar(_UNDECIDED, {"of_incident": incident_id}) is not None


async def owned(unit: UnitOfWork, incident_id: str, worker: str) -> Membership | None:
    """Return what is known of the group of an incident, if the worker has the lease; nobody else has it then."""
    row = (await unit.connection.execute(_OWN, {"of_incident": incident_id, "worker": worker})).one_or_none()
    return None if row is None else Membership(row.incident_id, row.rule, row.labels, row.group_id)


async def settle(unit: UnitOfWork, incident_id: str, group_id: str | None) -> None:
    """Keep which group an incident belongs to, None for none; end the lease."""
    await unit.connection.execute(_SETTLE, {"of_incident": incident_id, "in_group": group_id})


async def join(unit: UnitOfWork, key: GroupKey, rule: GroupingRule, opened_at: datetime) -> Group:
    """Return the group of an incident that was opened at a moment, a new one if need be, and lock it.

    Raises:
        DuplicateGroupError: Another process has begun a group with this key just now; look again.
    """
    newest = (await unit.connection.execute(_NEWEST, {"of_key": key.digest})).one_or_none()
    if newest is not None and newest.size < rule.max_size and rule.is_near(newest.started_at, opened_at):
        return _to_group((await unit.connection.execute(_GROW, {"group_id": newest.id})).one())
    group = Group(id=new_id("grp", opened_at), rule=key.rule, labels=dict(key.labels), started_at=opened_at, size=1)
    number = 1 if newest is None else newest.number + 1
    try:
        await unit.connection.execute(
            insert(incident_groups),
            {
                "id": group.id,
                "key": key.digest,
                "number": number,
                "rule": group.rule,
                "labels": group.labels,
                "started_at": group.started_at,
                "size": group.size,
            },
        )
    except IntegrityError as error:
        raise DuplicateGroupError(group.rule, group.labels) from error
    return group


async def lock(unit: UnitOfWork, group_id: str) -> Group:
    """Return a group; nobody else looks at it until the transaction ends."""
    return _to_group((await unit.connection.execute(_LOCK, {"group_id": group_id})).one())


async def of_incidents(unit: UnitOfWork, incident_ids: Collection[str]) -> dict[str, Group]:
    """Return the groups of incidents, by incident; those that belong to none are left out."""
    found: dict[str, Group] = {}
    for some in chunks(sorted(incident_ids)):
        rows = await unit.connection.execute(_OF_INCIDENTS, {"of_incidents": some})
        found |= {row.incident_id: _to_group(row) for row in rows}
    return found


async def members(unit: UnitOfWork, group_id: str) -> Sequence[Incident]:
    """Return the incidents of a group, oldest first, `MEMBERS_SHOWN` at most."""
    rows = await unit.connection.execute(_MEMBERS, {"in_group": group_id, "most": MEMBERS_SHOWN})
    return [mapping.to_incident(row) for row in rows]


class GroupQueue:
    """Claiming the incidents whose groups are to be looked at. Every method may raise `StoreUnavailableError`.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def claim(self, *, worker: str, now: datetime, lease: float, limit: int) -> Sequence[str]:
        """Lease up to `limit` incidents that are due, for `lease` seconds; return their ids, the oldest first."""
        values = {"worker": worker, "now": now, "until": now + timedelta(seconds=lease), "most": limit}

        async def work(unit: UnitOfWork) -> list[str]:
            return sorted(await unit.connection.scalars(_CLAIM, values))

        return await self._store.run(work, visible=False)

    async def release(self, worker: str) -> None:
        """End every lease of the worker."""

        async def work(unit: UnitOfWork) -> None:
            await unit.connection.execute(_RELEASE, {"worker": worker})

        await self._store.run(work, visible=False)

    async def next_due(self) -> datetime | None:
        """Return when the next incident can be claimed; None when none waits."""

        async def work(unit: UnitOfWork) -> datetime | None:
            due: datetime | None = await unit.connection.scalar(_NEXT_DUE)
            return due

        return await self._store.read(work)


def _to_group(row: Row[Any]) -> Group:
    return Group(id=row.id, rule=row.rule, labels=row.labels, started_at=row.started_at, size=row.size)
