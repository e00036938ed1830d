"""A notification owed to one destination."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from incident_manager.domain.ids import new_id


class NotificationEvent(StrEnum):
    """What the destination is told. Decided when the delivery is enqueued, never when it is sent."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    ESCALATED = "escalated"


PAGES = frozenset({NotificationEvent.TRIGGERED, NotificationEvent.ESCALATED})
"""What calls for somebody; the other events tell how it went on."""

MAY_HAVE_ARRIVED = "may_have_arrived"
"""Key of a receipt: the receiver was sent the whole of it and did not answer, so it may have it."""


class DeliveryStatus(StrEnum):
    """Whether a delivery is still owed, and if not, why not."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


ASSESSMENT = "assessment"
"""Holds a notification until more is known of its incident."""

ESCALATION = "escalation"
"""Holds a notification until its step of the escalation is due; it is cancelled if nobody needs it by then."""

GROUPING = "grouping"
"""Holds a notification until it is known whether its incident belongs with others."""

GROUP = "group"
"""Holds a notification, without an end in time, as long as its destination knows of another incident of the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One row of the outbox.

    Attributes:
        id: `msg_...`; the same at every attempt, so receivers can tell a repetition.
        sequence: Order of enqueueing, given by the store; None before that.
        payload: The incident when this was enqueued, as `Incident.to_dict` gives it.
        attempts: Sends made so far; a send an open breaker refused is none.
        next_attempt_at: Not to be sent before this; a retry moves it.
        held_until: Not to be sent before this either, whatever the receiver does; None if nobody holds it. What a
            `GROUP` holds is not sent at all; for a step of the escalation this is then when it would have been due.
        held_by: Who holds it: `ASSESSMENT`, `ESCALATION`, `GROUPING` or `GROUP`.
        silent_until: Not to be sent before this either: until then a silence holds it; None if none does.
        silenced_by: The id of the silence.
        lease_until: Until when `leased_by` alone may send it; None if nobody may.
        receipt: What the receiver said of it, kept for later attempts and for what follows: JSON-ready.
        thread: The receipt of the first delivery of the same incident to the same destination; given by a claim.
    """

    id: str
    incident_id: str
    destination: str
    event: NotificationEvent
    payload: dict[str, Any]
    created_at: datetime
    next_attempt_at: datetime
    sequence: int | None = None
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    delivered_at: datetime | None = None
    last_error: str | None = None
    lease_until: datetime | None = None
    leased_by: str | None = None
    receipt: dict[str, Any] = field(default_factory=dict)
    thread: dict[str, Any] = field(default_factory=dict)
    held_until: datetime | None = None
    held_by: str | None = None
    silent_until: datetime | None = None
    silenced_by: str | None = None

    @property
    def due_at(self) -> datetime:
        """When it is to be sent at the earliest, silences left aside."""
        return self.next_attempt_at if self.held_until is None else max(self.next_attempt_at, self.held_until)


def new_delivery(
    incident_id: str, destination: str, event: NotificationEvent, payload: dict[str, Any], at: datetime
) -> Delivery:
    """Return a delivery that may be sent at once."""
    return Delivery(
        id=new_id("msg", at),
        incident_id=incident_id,
        destination=destination,
        event=event,
        payload=payload,
        created_at=at,
        next_attempt_at=at,
    )
