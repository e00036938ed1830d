"""A circuit that stays open becomes an incident of its own, which ends when the circuit closes.

It cannot feed itself: there is one incident for each breaker at most, whatever its own notifications and assessments
run into.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.domain.severity import Severity
from incident_manager.moments import now_of
from incident_manager.notify.pacing import Pause, pause
from recloser import CircuitBreaker, Clock, Control, Registry, State

logger = logging.getLogger(__name__)

SOURCE = "incident-manager"
REPEAT = 300.0
"""Seconds after which an alert about an open circuit is repeated, should its incident have been resolved meanwhile."""

Accept = Callable[[Sequence[Alert]], Awaitable[object]]


@dataclass(slots=True)
class Watch:
    """What is known of the breakers between two looks.

    Attributes:
        open_since: When a circuit was first seen to be not closed, in monotonic seconds.
        told: When an alert about it was last sent.
    """

    open_since: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)


def due(watch: Watch, closed: Mapping[str, bool], now: float, after: float) -> tuple[list[str], list[str]]:
    """Note which circuits are closed, and tell which breakers are to be reported as open, and which as closed again.

    A circuit that is half-open between two openings counts as open all the while.

    Args:
        closed: Whether each circuit is closed now.
        now: Monotonic seconds.
        after: Seconds that a circuit may be open before somebody is told.
    """
    for name, is_closed in closed.items():
        if is_closed:
            watch.open_since.pop(name, None)
        else:
            watch.open_since.setdefault(name, now)
    firing = [
        name
        for name, since in watch.open_since.items()
        if now - since >= after and now - watch.told.get(name, -REPEAT) >= REPEAT
    ]
    resolved = [name for name in watch.told if closed.get(name, True)]
    return firing, resolved


class SelfMonitoring:
    """Looks at the breakers now and then, until stopped. Use `start` and `stop`, from one event loop.

    Args:
        registry: The breakers.
        accept: Takes alerts, as they are taken from others.
        clock: Time.
        after: Seconds that a circuit may be open before it is an incident.
        severity: Of such incidents.
        pause: How to wait.
    """

    def __init__(
        self,
        registry: Registry,
        accept: Accept,
        clock: Clock,
        *,
        after: float,
        severity: Severity,
        pause: Pause = pause,
    ) -> None:
        self._registry = registry
        self._accept = accept
        self._clock = clock
        self._after = after
        self._severity = severity
        self._pause = pause
        # At the start each circuit is closed; what an earlier process told of them is no longer true.
        self._watch = Watch(told={breaker.name: -REPEAT for breaker in registry})
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="watch the circuit breakers")

    async def stop(self) -> None:
        """End."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        interval = min(15.0, max(0.2, self._after / 4))
        while not self._stopping.is_set():
            try:
                await self.look()
            except StoreUnavailableError as error:
                logger.warning("what is known of the circuits is told later: %s", error)
            except Exception:  # a fault of ours must not end the watch
                logger.exception("the watch over the circuits met an unexpected error")
            await self._pause(self._stopping, interval)

    async def look(self) -> None:
        """Look once, and report what is due.

        Raises:
            StoreUnavailableError: It could not be stored, and is reported at the next look.
        """
        now = self._clock.monotonic()
        closed = {breaker.name: _is_closed(breaker) for breaker in self._registry}
        firing, resolved = due(self._watch, closed, now, self._after)
        if not firing and not resolved:
            return
        alerts = [self._alert(name, AlertStatus.FIRING) for name in firing]
        alerts += [self._alert(name, AlertStatus.RESOLVED) for name in resolved]
        await self._accept(alerts)
        for name in resolved:
            del self._watch.told[name]
        self._watch.told |= dict.fromkeys(firing, now)

    def _alert(self, name: str, status: AlertStatus) -> Alert:
        at = now_of(self._clock)
        return new_alert(
            source=SOURCE,
            status=status,
            title=f"Circuit {name} is open",
            description=_describe(self._registry[name]) if status is AlertStatus.FIRING else "",
            severity=self._severity,
            labels={"alertname": "CircuitOpen", "breaker": name, "service": SOURCE},
            received_at=at,
            ends_at=at if status is AlertStatus.RESOLVED else None,
            dedup_key=f"circuit:{name}",
        )


def _is_closed(breaker: CircuitBreaker) -> bool:
    return breaker.state is State.CLOSED and breaker.control is not Control.FORCED_OPEN


def _describe(breaker: CircuitBreaker) -> str:
    stats = breaker.stats()
    if stats.control is Control.FORCED_OPEN:
        return f"An operator holds it open: {stats.control_reason}. {stats.rejected} calls were rejected."
    return (
        f"What it guards has failed: {stats.last_failure or 'no failure is on record'}. "
        f"{stats.rejected} calls were rejected. It is tried again by itself."
    )
