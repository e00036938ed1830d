"""Trying one destination out, with a notification that is marked as a test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.moments import now_of
from incident_manager.notify.errors import DeliveryError
from incident_manager.notify.factory import build_notifier
from incident_manager.notify.notifier import Notifier
from incident_manager.notify.sample import sample_delivery
from incident_manager.settings import Settings
from recloser import Clock, SystemClock


@dataclass(frozen=True)
class Trial:
    """What became of one test notification.

    Attributes:
        event: What it told.
        seconds: How long it took.
        error: Why it was not delivered; None when it was.
        warnings: What people should know although it was delivered.
    """

    event: NotificationEvent
    seconds: float
    error: str | None = None
    warnings: Sequence[str] = ()


async def send_trials(name: str, settings: Settings, clock: Clock | None = None) -> list[Trial]:
    """Send a test notification to a destination once, past its circuit breaker and the outbox.

    Where a notification wakes somebody, the end follows right after, so that nothing stays open there.
    """
    time = clock or SystemClock()
    destination = settings.destinations[name]
    timeout = settings.dispatcher.send_timeout
    notifier = build_notifier(destination, timeout, time)
    try:
        now = now_of(time)
        beginning = sample_delivery(NotificationEvent.TRIGGERED, destination=name, at=now)
        trials = [await _send(notifier, beginning, timeout, time)]
        if destination.pages and trials[0].error is None:
            end = sample_delivery(NotificationEvent.RESOLVED, destination=name, at=now)
            end = replace(end, incident_id=beginning.incident_id, payload={**end.payload, "id": beginning.incident_id})
            trials.append(await _send(notifier, end, timeout, time))
        return trials
    finally:
        await notifier.close()


async def _send(notifier: Notifier, delivery: Delivery, timeout: float, clock: Clock) -> Trial:
    start = clock.monotonic()
    try:
        async with asyncio.timeout(timeout):
            receipt = await notifier.send(delivery)
    except DeliveryError as exc:
        return Trial(delivery.event, clock.monotonic() - start, str(exc))
    except TimeoutError:
        return Trial(delivery.event, clock.monotonic() - start, f"no answer within {timeout:g} s")
    return Trial(delivery.event, clock.monotonic() - start, warnings=receipt.warnings)
