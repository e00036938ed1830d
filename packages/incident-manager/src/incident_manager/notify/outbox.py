"""What the dispatcher needs of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from incident_manager.domain.delivery import Delivery


class Outbox(Protocol):
    """Waiting notifications, in durable storage. Every method may raise `StoreUnavailableError`.

    A row is *waiting* while it is pending; it is *leased* while a worker may be sending it. The methods that settle
    one row change it only while `worker` still holds its lease, so that a worker that was too slow spoils nothing.
    """

    async def claim(
        self, *, destination: str, worker: str, now: datetime, lease: float, limit: int
    ) -> Sequence[Delivery]:
        """Lease up to `limit` rows that are due, in order, for `lease` seconds.

        Never a row with an earlier waiting row of the same incident and destination.
        """
        ...

    async def mark_delivered(
        self,
        id: str,
        worker: str,
        at: datetime,
        *,
        receipt: Mapping[str, Any] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        """The receiver has it: counts the attempt and adds a timeline entry with the warnings; keeps the receipt."""
        ...

    async def retry_later(
        self,
        id: str,
        worker: str,
        next_attempt_at: datetime,
        error: str,
        count_attempt: bool,
        *,
        receipt: Mapping[str, Any] | None = None,
    ) -> None:
        """It could not be delivered now; the lease ends. The receipt, if any, replaces the one that was kept."""
        ...

    async def cancel_superseded(self, *, destination: str, id: str, at: datetime) -> bool:
        """Cancel a page whose incident was acknowledged or resolved since; whether it was, and must not be sent."""
        ...

    async def mark_failed(self, id: str, worker: str, at: datetime, error: str) -> None:
        """It will never be delivered: adds a timeline entry."""
        ...

    async def release(self, worker: str) -> None:
        """End every lease of the worker; the rows are as they were before the claim."""
        ...

    async def defer(self, *, destination: str, until: datetime) -> None:
        """Make the waiting, unleased rows of a destination that are due before `until` due at `until`."""
        ...

    async def hasten(self, *, destination: str, at: datetime) -> None:
        """Make the waiting, unleased rows of a destination that are due after `at` due at `at`."""
        ...

    async def waiting(self) -> Mapping[str, int]:
        """Rows waiting, by destination; destinations without any may be left out."""
        ...

    async def next_due(self, destination: str) -> datetime | None:
        """When the next row can be claimed, as far as can be told; None when nothing waits."""
        ...
