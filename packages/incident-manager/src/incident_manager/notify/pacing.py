"""How the dispatcher waits, and the numbers it goes by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from incident_manager.notify.backoff import Backoff

Pause: TypeAlias = Callable[[asyncio.Event, float], Awaitable[None]]
"""`await pause(event, seconds)`: until the event is set or the time is over. Tests pass one of their own."""


async def pause(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until the event is set, at most `seconds`; None waits for as long as it takes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


@dataclass(frozen=True, kw_only=True)
class DispatchPolicy:
    """How deliveries are tried. Durations are seconds.

    Args:
        batch: Rows a lane claims at a time.
        lease: How long a claim lasts: after a crash, another worker retries its rows after this.
        send_timeout: The longest one send takes; a lane gives rows back that its lease may not outlast.
        backoff: Waits between the attempts of one delivery.
        give_up_after: Age at which a delivery that still fails is given up.
        poll: The longest a lane waits without looking.
        store_backoff: Waits while the store is away.
    """

    batch: int = 10
    lease: float = 60.0
    send_timeout: float = 10.0
    backoff: Backoff = field(default_factory=Backoff)
    give_up_after: float = 72 * 3600.0
    poll: float = 15.0
    store_backoff: Backoff = field(default_factory=lambda: Backoff(base=1.0, maximum=15.0))
