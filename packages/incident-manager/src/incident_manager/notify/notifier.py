"""What every kind of destination can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from incident_manager.domain.delivery import Delivery


@dataclass(frozen=True)
class Receipt:
    """What is worth keeping of a delivery. Fit to be shown: holds no secret.

    Args:
        kept: For the notifications of the same incident that follow, JSON-ready; `Delivery.thread` gives it back.
        warnings: What people should know although it was delivered, each a short sentence.
    """

    kept: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Notifier(Protocol):
    """Sends notifications to one destination."""

    async def send(self, delivery: Delivery) -> Receipt:
        """Send one notification; returns when the receiver has accepted it.

        Raises:
            TransientDeliveryError: Try again later.
            PermanentDeliveryError: Trying again is of no use.
            DestinationGoneError: The destination wants no more notifications.
        """
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
