"""How the dispatcher waits, and the numbers it goes by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.notify.backoff import Backoff

logger = logging.getLogger(__name__)

Pause: TypeAlias = Callable[[asyncio.Event, float], Awaitable[None]]
"""`await pause(event, seconds)`: until the event is set or the time is over. Tests pass one of their own."""


async def pause(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until the event is set, at most `seconds`; None waits for as long as it takes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def keep_on(
    step: Callable[[], Awaitable[float]],
    *,
    name: str,
    report: Callable[[str | None], None],
    backoff: Backoff,
    wake: asyncio.Event,
    stopping: asyncio.Event,
    pause: Pause = pause,
) -> None:
    """Take one step after the other until `stopping` is set; no error ends it.

    Args:
        step: Returns the seconds until the next one is due; 0 at once.
        name: What is done, for the log.
        report: Told after each step what is wrong, or None when nothing is.
        backoff: Waits after steps that failed.
        wake: Ends a wait.
        stopping: Ends it all, after the step under way.
        pause: How to wait.
    """
    failures = 0
    while not stopping.is_set():
        try:
            seconds = await step()
        except StoreUnavailableError as error:
            failures += 1
            report(f"the store is away: {error}")
            seconds = backoff.after(failures)
        except Exception as error:  # a fault of ours must not end this for good
            failures += 1
            logger.exception("%s met an unexpected error", name)
            report(f"unexpected {type(error).__name__}")
            seconds = backoff.after(failures)
        else:
            failures = 0
            report(None)
        if seconds > 0 and not stopping.is_set():
            await pause(wake, seconds)


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
