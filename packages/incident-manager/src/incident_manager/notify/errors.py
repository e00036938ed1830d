"""How a delivery can fail. The texts are stored and shown, so they hold no secret and no path of a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incident_manager.domain.errors import IncidentManagerError


class DeliveryError(IncidentManagerError):
    """Base class: a notification was not delivered."""


class TransientDeliveryError(DeliveryError):
    """It may work later: the receiver is away, overloaded or asked to wait.

    Attributes:
        retry_after: Seconds the receiver asked us to wait, or None when it did not say.
        throttled: Whether the receiver is alive and asks for less traffic (HTTP 429, or 503 with Retry-After).
        may_have_arrived: Whether all of it was sent and only the answer is missing.
        receipt: What the next attempt has to know, JSON-ready: for example who has it already.
    """

    def __init__(
        self,
        message: str,
        retry_after: float | None = None,
        *,
        throttled: bool = False,
        may_have_arrived: bool = False,
        receipt: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.throttled = throttled
        self.may_have_arrived = may_have_arrived
        self.receipt = dict(receipt or {})


class UnexpectedDeliveryError(TransientDeliveryError):
    """Sending met a fault of the service itself, which says nothing about the receiver."""


class PermanentDeliveryError(DeliveryError):
    """The receiver refused this notification and would refuse it again."""


class DestinationGoneError(PermanentDeliveryError):
    """The receiver wants no more notifications at all (HTTP 410)."""
