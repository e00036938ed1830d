"""An alert: what one sender said once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from incident_manager.domain.fingerprint import fingerprint
from incident_manager.domain.ids import new_id
from incident_manager.domain.severity import Severity


class AlertStatus(StrEnum):
    """What the sender says of the trouble: it is there, somebody has seen it, or it is gone."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message of one sender, in our words whatever its wire format was.

    Attributes:
        id: `alt_...`, ours; or `evt_...`, made of the sender's id of this very message, so that one that is delivered
            again is known again (`domain.ids.event_id`).
        source: Which system sent it; part of its identity.
        starts_at: When the trouble began: as the sender says, or `received_at`.
        ends_at: When it ended, if the sender said so; of a firing one, when it counts as over unless it is sent again.
        dedup_key: The sender's own identity for the trouble, if it has one.
        fingerprint: Equal for alerts about the same trouble; see `domain.fingerprint`.
        generator_url: An http(s) link to what raised it.
    """

    id: str
    source: str
    status: AlertStatus
    title: str
    description: str
    severity: Severity
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime | None
    received_at: datetime
    dedup_key: str | None
    fingerprint: str
    generator_url: str | None

    @property
    def decided_at(self) -> datetime:
        """The moment this alert speaks of: the newer of its start and its end; for one that is not over, its start.

        Of two alerts about one trouble the one decided later is right, in whichever order they arrive.
        """
        if self.status is not AlertStatus.RESOLVED or self.ends_at is None:
            return self.starts_at
        return max(self.starts_at, self.ends_at)


def new_alert(
    *,
    source: str,
    title: str,
    received_at: datetime,
    status: AlertStatus = AlertStatus.FIRING,
    severity: Severity = Severity.P2,
    description: str = "",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    dedup_key: str | None = None,
    generator_url: str | None = None,
    id: str | None = None,
) -> Alert:
    """Build an alert with its id and fingerprint; every timestamp is aware and is kept in UTC.

    Without `starts_at` it is `received_at`, or `ends_at` if that is earlier.

    Args:
        id: An `event_id`; a new id by default.

    Raises:
        ValueError: A timestamp has no time zone.
    """
    received_at = _utc("received_at", received_at)
    ends_at = None if ends_at is None else _utc("ends_at", ends_at)
    if starts_at is None:
        starts_at = received_at if ends_at is None else min(received_at, ends_at)
    labels = dict(labels or {})
    return Alert(
        id=id or new_id("alt", received_at),
        source=source,
        status=status,
        title=title,
        description=description,
        severity=severity,
        labels=labels,
        annotations=dict(annotations or {}),
        starts_at=_utc("starts_at", starts_at),
        ends_at=ends_at,
        received_at=received_at,
        dedup_key=dedup_key or None,
        fingerprint=fingerprint(source, title, labels, dedup_key),
        generator_url=generator_url,
    )


def _utc(field: str, at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{field}={at.isoformat()}: a timestamp needs a time zone, as in {at.isoformat()}+00:00")
    return at.astimezone(UTC)
