"""Everything that may happen to an incident: each function returns the next one and its timeline entries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from incident_manager.domain.alert import Alert, AlertStatus
from incident_manager.domain.errors import InvalidTransitionError, VersionConflictError
from incident_manager.domain.ids import new_id
from incident_manager.domain.incident import Incident
from incident_manager.domain.incident import Status as Status
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineEntry, TimelineKind

Change = tuple[Incident, list[TimelineEntry]]

_OPEN = tuple(status for status in Status if status.is_open)

#: From each status, the ones that may follow: forward through the open ones (skipping is fine),
#: from any open one to resolved, from resolved to closed. There is no way back.
TRANSITIONS: dict[Status, tuple[Status, ...]] = {
    **{status: (*_OPEN[index + 1 :], Status.RESOLVED) for index, status in enumerate(_OPEN)},
    Status.RESOLVED: (Status.CLOSED,),
    Status.CLOSED: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a person wants changed; None leaves a field as it is, and an empty `assignee` unassigns."""

    title: str | None = None
    description: str | None = None
    severity: Severity | None = None
    status: Status | None = None
    assignee: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trouble ended.

    Attributes:
        received_at: When we heard of it.
        decided_at: The moment it speaks of.
        fingerprint: Of the trouble.
        incident: The incident that ended; None when nobody had told us yet that there was one.
    """

    received_at: datetime
    decided_at: datetime
    fingerprint: str
    incident: Incident | None

    def is_after(self, alert: Alert) -> bool:
        """Whether the alert, which we come to only now, had been received before and speaks of what is over."""
        return alert.received_at <= self.received_at and alert.decided_at <= self.decided_at


def by_alert(incident: Incident) -> bool:
    """Tell whether an alert ended the incident, and no person did."""
    return incident.resolved_by == _actor_of(incident.source)


def open_from_alert(alert: Alert) -> Change:
    """Open an incident for a firing alert that no open incident matches."""
    incident = Incident(
        id=new_id("inc", alert.received_at),
        fingerprint=alert.fingerprint,
        title=alert.title,
        description=alert.description,
        severity=alert.severity,
        severity_locked=False,
        status=Status.DETECTED,
        source=alert.source,
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
        alert_count=1,
        first_seen=alert.received_at,
        last_seen=alert.received_at,
        starts_at=alert.starts_at,
        created_at=alert.received_at,
        updated_at=alert.received_at,
        version=1,
        expires_at=alert.ends_at,
    )
    message = f"opened by an alert of {alert.source}"
    entry = _entry(incident, alert.received_at, _actor(alert), TimelineKind.OPENED, message, {"alert_id": alert.id})
    return incident, [entry]


def open_by_hand(
    *,
    title: str,
    severity: Severity,
    by: str,
    at: datetime,
    description: str = "",
    source: str = "manual",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    assignee: str | None = None,
) -> Change:
    """Open an incident that a person or a program reports. No alert merges into it: its fingerprint is its own id."""
    incident_id = new_id("inc", at)
    incident = Incident(
        id=incident_id,
        fingerprint=incident_id,
        title=title,
        description=description,
        severity=severity,
        severity_locked=True,
        status=Status.DETECTED,
        source=source,
        labels=dict(labels or {}),
        annotations=dict(annotations or {}),
        alert_count=0,
        first_seen=at,
        last_seen=at,
        starts_at=at,
        created_at=at,
        updated_at=at,
        version=1,
        assignee=assignee or None,
    )
    return incident, [_entry(incident, at, by, TimelineKind.OPENED, f"opened by {by}")]


def merge_alert(incident: Incident, alert: Alert) -> Change:
    """Take another alert about an open incident into account.

    A firing one updates the counters and labels, and raises the severity unless a person set it; it never touches
    title, assignee, acknowledgement or notes. An acknowledged one acknowledges it. A resolved one ends the incident,
    unless it speaks of a moment before the newest start: then it arrived late, and a newer firing alert has overtaken
    it.

    Raises:
        InvalidTransitionError: The incident is not open any more.
    """
    if not incident.status.is_open:
        raise InvalidTransitionError(incident.id, incident.status, "merge", "a new incident is opened instead")
    if alert.status is AlertStatus.RESOLVED:
        return _merge_resolved(incident, alert)
    if alert.status is AlertStatus.ACKNOWLEDGED:
        return acknowledge(incident, _actor(alert), alert.received_at)
    merged = replace(_counted(incident, alert), expires_at=_latest_expiry(incident, alert))
    if incident.severity_locked or not alert.severity.worse_than(incident.severity):
        return merged, []
    return _change_severity(_next(merged, alert.received_at), alert.severity, _actor(alert), alert.received_at)


def count_late(incident: Incident, alert: Alert) -> Incident:
    """Count a firing alert into the incident it was about, which has ended since: it opens nothing again."""
    return _counted(incident, alert)


def _counted(incident: Incident, alert: Alert) -> Incident:
    seen = _seen(incident, alert)
    first, last = (incident, alert) if alert.received_at >= incident.last_seen else (alert, incident)
    return replace(
        seen,
        alert_count=incident.alert_count + 1,
        first_seen=min(incident.first_seen, alert.received_at),
        starts_at=max(incident.starts_at, alert.starts_at),
        labels={**first.labels, **last.labels},
        annotations={**first.annotations, **last.annotations},
    )


def _merge_resolved(incident: Incident, alert: Alert) -> Change:
    if is_out_of_date(incident, alert):
        return incident, []
    resolution = f"{alert.source} reported it resolved"
    return resolve(_seen(incident, alert), _actor(alert), alert.received_at, resolution)


def _latest_expiry(incident: Incident, alert: Alert) -> datetime | None:
    if alert.ends_at is None or incident.expires_at is None:
        return alert.ends_at
    return max(incident.expires_at, alert.ends_at)  # alerts may overtake each other


def expire(incident: Incident, at: datetime) -> Change:
    """Resolve an incident whose alert was to be repeated and was not; one that is not due stays as it is.

    A sender such as Prometheus says of each firing alert until when it holds, and repeats it before that.
    """
    if not incident.status.is_open or incident.expires_at is None or at < incident.expires_at:
        return incident, []
    resolution = f"{incident.source} did not repeat it, and it was said to end at {incident.expires_at.isoformat()}"
    return resolve(incident, "system", at, resolution)


def _seen(incident: Incident, alert: Alert) -> Incident:
    return replace(
        incident,
        last_seen=max(incident.last_seen, alert.received_at),
        updated_at=max(incident.updated_at, alert.received_at),
    )


def is_out_of_date(incident: Incident, alert: Alert) -> bool:
    """Tell whether a resolved alert speaks of a moment before the incident's newest start."""
    return alert.decided_at < incident.starts_at


def acknowledge(incident: Incident, by: str, at: datetime) -> Change:
    """Record that somebody has seen it. The first acknowledgement stays; another one changes nothing.

    Raises:
        InvalidTransitionError: The incident is resolved or closed.
    """
    if not incident.status.is_open:
        rule = "only an open incident can be acknowledged"
        raise InvalidTransitionError(incident.id, incident.status, "acknowledge", rule)
    if incident.acknowledged_at is not None:
        return incident, []
    acknowledged = replace(_next(incident, at), acknowledged_at=at, acknowledged_by=by)
    return acknowledged, [_entry(acknowledged, at, by, TimelineKind.ACKNOWLEDGED, f"acknowledged by {by}")]


def transition(incident: Incident, to: Status, by: str, at: datetime, note: str | None = None) -> Change:
    """Move an incident on; `note` becomes the resolution when it is resolved.

    Raises:
        InvalidTransitionError: `TRANSITIONS` does not allow it, which includes the status it already has.
    """
    allowed = TRANSITIONS[incident.status]
    if to not in allowed:
        rule = f"from here it may go to {', '.join(allowed)}" if allowed else "nothing follows it"
        raise InvalidTransitionError(incident.id, incident.status, to.value, rule)
    moved = replace(_next(incident, at), status=to)
    kind = TimelineKind.STATUS_CHANGED
    if to is Status.RESOLVED:
        moved = replace(moved, resolved_at=at, resolved_by=by, resolution=note or None)
        kind = TimelineKind.RESOLVED
    message = f"{incident.status} -> {to} by {by}" + (f": {note}" if note else "")
    data = {"from": incident.status.value, "to": to.value, "note": note or None}
    return moved, [_entry(moved, at, by, kind, message, data)]


def resolve(incident: Incident, by: str, at: datetime, resolution: str | None = None) -> Change:
    """Move an open incident to resolved.

    Raises:
        InvalidTransitionError: It is resolved or closed already.
    """
    return transition(incident, Status.RESOLVED, by, at, resolution)


def edit(incident: Incident, changes: Edit, by: str, at: datetime) -> Change:
    """Apply what a person changed, as one version; what already is as wanted changes nothing.

    A severity set here is a person's word: alerts no longer raise it.

    Raises:
        InvalidTransitionError: The wanted status may not follow the present one.
    """
    changed, entries = incident, list[TimelineEntry]()
    for step in (_edit_status, _edit_severity, _edit_assignee, _edit_texts):
        changed, more = step(changed, changes, by, at)
        entries += more
    if not entries:
        return incident, []
    return replace(_next(changed, at), version=incident.version + 1), entries


def _edit_status(incident: Incident, changes: Edit, by: str, at: datetime) -> Change:
    if changes.status is not None and changes.status is not incident.status:
        return transition(incident, changes.status, by, at, changes.note)
    if changes.note:
        return incident, [_entry(incident, at, by, TimelineKind.NOTE, changes.note)]
    return incident, []


def _edit_severity(incident: Incident, changes: Edit, by: str, at: datetime) -> Change:
    if changes.severity is None or (changes.severity is incident.severity and incident.severity_locked):
        return incident, []
    return _change_severity(replace(incident, severity_locked=True), changes.severity, by, at)


def _edit_assignee(incident: Incident, changes: Edit, by: str, at: datetime) -> Change:
    if changes.assignee is None or (changes.assignee or None) == incident.assignee:
        return incident, []
    assignee = changes.assignee or None
    message = f"assigned to {assignee} by {by}" if assignee else f"unassigned by {by}"
    data = {"from": incident.assignee, "to": assignee}
    return replace(incident, assignee=assignee), [_entry(incident, at, by, TimelineKind.ASSIGNED, message, data)]


def _edit_texts(incident: Incident, changes: Edit, by: str, at: datetime) -> Change:
    title = incident.title if changes.title is None else changes.title
    description = incident.description if changes.description is None else changes.description
    edited = replace(incident, title=title, description=description)
    names = [name for name in ("title", "description") if getattr(edited, name) != getattr(incident, name)]
    if not names:
        return incident, []
    data = {name: {"from": getattr(incident, name), "to": getattr(edited, name)} for name in names}
    return edited, [_entry(edited, at, by, TimelineKind.EDITED, f"{' and '.join(names)} changed by {by}", data)]


def classify(incident: Incident, severity: Severity, by: str, at: datetime) -> Change:
    """Take into account how bad somebody who is no person says it is: it only gets worse by that.

    Nothing changes when a person has set the severity, or the incident has ended.
    """
    if not incident.status.is_open or incident.severity_locked or not severity.worse_than(incident.severity):
        return incident, []
    return _change_severity(_next(incident, at), severity, by, at)


def require_version(incident: Incident, expected: int | None) -> None:
    """Refuse a change made from an outdated reading; None means the caller does not mind.

    Raises:
        VersionConflictError: The incident has another version.
    """
    if expected is not None and incident.version != expected:
        raise VersionConflictError(incident.id, expected, incident.version)


def _change_severity(incident: Incident, to: Severity, by: str, at: datetime) -> Change:
    data = {"from": incident.severity.value, "to": to.value}
    message = f"severity {incident.severity} -> {to} by {by}"
    return replace(incident, severity=to), [_entry(incident, at, by, TimelineKind.SEVERITY_CHANGED, message, data)]


def _next(incident: Incident, at: datetime) -> Incident:
    return replace(incident, version=incident.version + 1, updated_at=max(at, incident.updated_at))


def _actor(alert: Alert) -> str:
    return _actor_of(alert.source)


def _actor_of(source: str) -> str:
    return f"source:{source}"


def _entry(
    incident: Incident, at: datetime, by: str, kind: TimelineKind, message: str, data: dict[str, Any] | None = None
) -> TimelineEntry:
    return TimelineEntry(incident_id=incident.id, at=at, actor=by, kind=kind, message=message, data=data or {})
