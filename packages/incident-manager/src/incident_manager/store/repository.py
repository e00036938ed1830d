"""The statements on incidents, within one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from incident_manager.domain.alert import Alert
from incident_manager.domain.delivery import ESCALATION, GROUP, PAGES, Delivery, DeliveryStatus, NotificationEvent
from incident_manager.domain.errors import (
    DuplicateAlertError,
    DuplicateOpenIncidentError,
    IncidentNotFoundError,
    VersionConflictError,
)
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import Ending, by_alert
from incident_manager.domain.order import SortOrder
from incident_manager.domain.timeline import TimelineEntry
from incident_manager.store import mapping
from incident_manager.store.paging import IncidentFilter, Page, select_page, to_page
from incident_manager.store.schema import IS_OPEN, IS_RESOLVED, alerts, incidents, outbox, timeline

_PARAMETERS = 1000

# Statements are built once: building one costs as much as running it.
# `with_for_update` makes other writers of the row wait; SQLite, which has one writer at a time, leaves it out.
# `key_share` lets those through that only refer to the row, such as the dispatcher's entries in the timeline.
_FIND_OPEN = (
    select(incidents)
    .where(incidents.c.fingerprint.in_(bindparam("fingerprints", expanding=True)), IS_OPEN)
    .order_by(incidents.c.fingerprint)  # the same order for everybody, so that no two wait for each other
)
_FIND_OPEN_TO_CHANGE = _FIND_OPEN.with_for_update(key_share=True)
_FIND_EXPIRED = (
    select(incidents)
    .where(incidents.c.expires_at <= bindparam("at"), IS_OPEN)
    .order_by(incidents.c.expires_at)
    .limit(bindparam("most"))
)
_FIND_EXPIRED_TO_CHANGE = _FIND_EXPIRED.with_for_update(key_share=True, skip_locked=True)
_KNOWN_ALERTS = select(alerts.c.id, alerts.c.incident_id).where(alerts.c.id.in_(bindparam("alert_ids", expanding=True)))
_GET = select(incidents).where(incidents.c.id == bindparam("incident_id"))
_GET_TO_CHANGE = _GET.with_for_update(key_share=True)
_UPDATE = update(incidents).where(
    incidents.c.id == bindparam("changed_id"), incidents.c.version == bindparam("expected_version")
)
_VERSION = select(incidents.c.version).where(incidents.c.id == bindparam("incident_id"))
_VERSIONS_TO_CHANGE = (
    select(incidents.c.id, incidents.c.version)
    .where(incidents.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(incidents.c.fingerprint)
    .with_for_update(key_share=True)
)
_STORED = select(alerts.c.id).where(alerts.c.id.in_(bindparam("ids", expanding=True)))
_ENDED = select(incidents).where(
    incidents.c.fingerprint.in_(bindparam("fingerprints", expanding=True)),
    incidents.c.status.in_([Status.RESOLVED.value, Status.CLOSED.value]),
    incidents.c.resolved_at >= bindparam("since"),
)
_RESOLVING = (
    select(alerts)
    .where(alerts.c.fingerprint.in_(bindparam("fingerprints", expanding=True)), IS_RESOLVED)
    .where(alerts.c.received_at >= bindparam("since"))
)
_TIMELINE = select(timeline).where(timeline.c.incident_id == bindparam("incident_id")).order_by(timeline.c.sequence)
_ALERTS = (
    select(alerts)
    .where(alerts.c.incident_id == bindparam("incident_id"))
    .order_by(alerts.c.received_at.desc(), alerts.c.id.desc())
    .limit(bindparam("most"))
)
_DELIVERIES = select(outbox).where(outbox.c.incident_id == bindparam("incident_id")).order_by(outbox.c.sequence)
_TOLD = (
    select(outbox.c.incident_id, outbox.c.destination)
    .where(
        outbox.c.incident_id.in_(bindparam("incident_ids", expanding=True)),
        # An acknowledgement is owed only to who knows, or may know, of the incident.
        outbox.c.event.in_([*sorted(PAGES), NotificationEvent.ACKNOWLEDGED.value]),
        outbox.c.status.in_([DeliveryStatus.PENDING.value, DeliveryStatus.DELIVERED.value]),
        # Not by steps of an escalation that nobody has been told by yet, nor by what a group spares its destinations.
        or_(
            outbox.c.held_by.is_(None),
            outbox.c.held_by.not_in([ESCALATION, GROUP]),
            outbox.c.attempts > 0,
            outbox.c.status == DeliveryStatus.DELIVERED.value,
        ),
    )
    .group_by(outbox.c.incident_id, outbox.c.destination)
    .order_by(func.min(outbox.c.sequence))
)


class UnitOfWork:
    """One transaction. `Store.run` and `Store.read` make it, and commit or undo all of it.

    Args:
        connection: With its transaction begun.
        changing: Whether rows are read in order to change them.
    """

    def __init__(self, connection: AsyncConnection, *, changing: bool) -> None:
        self.connection = connection
        self._changing = changing

    async def find_open(self, fingerprint: str) -> Incident | None:
        """Return the open incident of a fingerprint; there is at most one."""
        return (await self.find_all_open([fingerprint])).get(fingerprint)

    async def find_all_open(self, fingerprints: Collection[str]) -> dict[str, Incident]:
        """Return the open incidents of several fingerprints."""
        statement = _FIND_OPEN_TO_CHANGE if self._changing else _FIND_OPEN
        found: dict[str, Incident] = {}
        for some in chunks(sorted(fingerprints)):
            rows = await self.connection.execute(statement, {"fingerprints": some})
            found |= {row.fingerprint: mapping.to_incident(row) for row in rows}
        return found

    async def find_expired(self, at: datetime, limit: int) -> Sequence[Incident]:
        """Return open incidents that counted as over at a moment, the longest expired first.

        When they are read to be changed, those that another process is changing are left out.
        """
        statement = _FIND_EXPIRED_TO_CHANGE if self._changing else _FIND_EXPIRED
        rows = await self.connection.execute(statement, {"at": at, "most": limit})
        return [mapping.to_incident(row) for row in rows]

    async def get(self, incident_id: str) -> Incident:
        """Return one incident.

        Raises:
            IncidentNotFoundError: There is none of this id.
        """
        statement = _GET_TO_CHANGE if self._changing else _GET
        row = (await self.connection.execute(statement, {"incident_id": incident_id})).one_or_none()
        if row is None:
            raise IncidentNotFoundError(incident_id)
        return mapping.to_incident(row)

    async def insert(self, *new: Incident) -> None:
        """Add incidents.

        Raises:
            DuplicateOpenIncidentError: One of the fingerprints has an open incident already.
        """
        if not new:
            return
        try:
            await self.connection.execute(insert(incidents), [mapping.incident_values(incident) for incident in new])
        except IntegrityError as error:
            if _is_open_fingerprint(error):
                raise DuplicateOpenIncidentError(", ".join(incident.fingerprint for incident in new)) from error
            raise

    async def update(self, incident: Incident, expected_version: int) -> None:
        """Write a changed incident, if nobody else has changed it since it had `expected_version`.

        Raises:
            VersionConflictError: It has another version now.
            IncidentNotFoundError: It does not exist.
        """
        result = await self.connection.execute(_UPDATE, _changed_values(incident, expected_version))
        if result.rowcount == 0:
            actual = await self.connection.scalar(_VERSION, {"incident_id": incident.id})
            if actual is None:
                raise IncidentNotFoundError(incident.id)
            raise VersionConflictError(incident.id, expected_version, actual)

    async def update_all(self, changes: Collection[tuple[Incident, int]]) -> None:
        """Write several changed incidents, each with the version it is expected to have.

        The statements on many rows do not tell how many they changed, so the versions are compared first, and the rows
        are locked from then on.

        Raises:
            VersionConflictError: One has another version now; none was written.
            IncidentNotFoundError: One does not exist.
        """
        if not changes:
            return
        actual: dict[str, int] = {}
        for some in chunks(sorted(incident.id for incident, _ in changes)):
            rows = await self.connection.execute(_VERSIONS_TO_CHANGE, {"ids": some})
            actual |= {row.id: row.version for row in rows}
        for incident, expected_version in changes:
            if incident.id not in actual:
                raise IncidentNotFoundError(incident.id)
            if actual[incident.id] != expected_version:
                raise VersionConflictError(incident.id, expected_version, actual[incident.id])
        await self.connection.execute(_UPDATE, [_changed_values(*change) for change in changes])

    async def add_alert(self, alert: Alert, incident_id: str | None) -> None:
        """Keep an alert that belongs to an incident, or to none."""
        await self.add_alerts([(alert, incident_id)])

    async def add_alerts(self, received: Iterable[tuple[Alert, str | None]]) -> None:
        """Keep several alerts, each with its incident's id or None.

        Raises:
            DuplicateAlertError: One of them is kept already.
        """
        rows = [mapping.alert_values(alert, incident_id) for alert, incident_id in received]
        if not rows:
            return
        try:
            await self.connection.execute(insert(alerts), rows)
        except IntegrityError as error:
            if _is_alert_id(error):
                raise DuplicateAlertError from error
            raise

    async def known_alerts(self, alert_ids: Collection[str]) -> dict[str, str | None]:
        """Return which of these alerts are kept, each with its incident's id or None."""
        known: dict[str, str | None] = {}
        for some in chunks(sorted(alert_ids)):
            rows = await self.connection.execute(_KNOWN_ALERTS, {"alert_ids": some})
            known |= {row.id: row.incident_id for row in rows}
        return known

    async def find_endings(self, fingerprints: Collection[str], since: datetime) -> list[Ending]:
        """Return how troubles of these fingerprints ended, as far as that was received at `since` or later."""
        found: list[Ending] = []
        for some in chunks(sorted(fingerprints)):
            values = {"fingerprints": some, "since": since}
            ended = {row.id: mapping.to_incident(row) for row in await self.connection.execute(_ENDED, values)}
            for row in await self.connection.execute(_RESOLVING, values):
                alert, incident = mapping.to_alert(row), ended.get(row.incident_id)
                if incident is not None or row.incident_id is None:
                    found.append(Ending(alert.received_at, alert.decided_at, alert.fingerprint, incident))
            found += [
                Ending(one.resolved_at, one.resolved_at, one.fingerprint, one)
                for one in ended.values()
                if one.resolved_at is not None and not by_alert(one)
            ]
        return found

    async def alerts(self, incident_id: str, limit: int = 100) -> Sequence[Alert]:
        """Return the latest alerts of an incident, newest first."""
        rows = await self.connection.execute(_ALERTS, {"incident_id": incident_id, "most": limit})
        return [mapping.to_alert(row) for row in rows]

    async def add_timeline(self, entries: Iterable[TimelineEntry]) -> None:
        """Add to the history, in the order given."""
        rows = [mapping.timeline_values(entry) for entry in entries]
        if rows:
            await self.connection.execute(insert(timeline), rows)

    async def timeline(self, incident_id: str) -> Sequence[TimelineEntry]:
        """Return the history of an incident, oldest first."""
        rows = await self.connection.execute(_TIMELINE, {"incident_id": incident_id})
        return [mapping.to_timeline_entry(row) for row in rows]

    async def enqueue(self, deliveries: Iterable[Delivery]) -> None:
        """Put notifications into the outbox, in the order given."""
        rows = [mapping.delivery_values(delivery) for delivery in deliveries]
        if rows:
            await self.connection.execute(insert(outbox), rows)

    async def deliveries(self, incident_id: str) -> Sequence[Delivery]:
        """Return every notification of an incident, in order."""
        rows = await self.connection.execute(_DELIVERIES, {"incident_id": incident_id})
        return [mapping.to_delivery(row) for row in rows]

    async def destinations_triggered(self, incident_id: str) -> set[str]:
        """Return the destinations that know of an incident or are about to.

        Those whose notification failed or was cancelled do not, and are owed no end of what they never heard of.
        """
        return set((await self.all_destinations_triggered([incident_id])).get(incident_id, ()))

    async def all_destinations_triggered(self, incident_ids: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return the same for several incidents; each one's destinations in the order they were told."""
        told: dict[str, list[str]] = {}
        for some in chunks(sorted(incident_ids)):
            for row in await self.connection.execute(_TOLD, {"incident_ids": some}):
                told.setdefault(row.incident_id, []).append(row.destination)
        return told

    async def list(
        self, where: IncidentFilter, limit: int, cursor: str | None = None, order: SortOrder = SortOrder.NEWEST
    ) -> Page:
        """Return a page of up to `limit` incidents, newest first if nothing else is asked for.

        Raises:
            InvalidCursorError: The cursor is not one of ours, or is of another query.
        """
        rows = await self.connection.execute(select_page(where, limit, cursor, order))
        return to_page([mapping.to_incident(row) for row in rows], limit, where, order)


def _changed_values(incident: Incident, expected_version: int) -> dict[str, Any]:
    values = mapping.incident_values(incident)
    del values["id"]
    return {**values, "changed_id": incident.id, "expected_version": expected_version}


def chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    """Cut values into parts that fit into one statement: databases limit its parameters (SQLite to 32,766)."""
    return (values[start : start + _PARAMETERS] for start in range(0, len(values), _PARAMETERS))


def _is_open_fingerprint(error: IntegrityError) -> bool:
    """Tell whether the index on open fingerprints was violated; SQLite names the column, PostgreSQL the index."""
    text = str(error.orig)
    return "incidents.fingerprint" in text or "uq_incidents_open_fingerprint" in text


def _is_alert_id(error: IntegrityError) -> bool:
    """Tell whether the primary key of alerts was violated; SQLite names the column, PostgreSQL the constraint."""
    text = str(error.orig)
    return "alerts.id" in text or "pk_alerts" in text
