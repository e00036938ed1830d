"""What every kind of destination can do."""

from __future__ import annotations

from typing import Protocol

from incident_manager.domain.delivery import Delivery


class Notifier(Protocol):
    """Sends notifications to one destination."""

    async def send(self, delivery: Delivery) -> None:
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
