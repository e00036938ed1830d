"""One follower, and what waits to be sent to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from incident_manager.domain.severity import Severity
from incident_manager.store.changes import Change

BACKLOG = 1000
"""Events that may wait for a client."""


@dataclass(frozen=True, slots=True)
class Joined:
    """From here on the follower is told of every change numbered above `position`."""

    position: int


@dataclass(frozen=True, slots=True)
class CircuitChanged:
    """A circuit breaker of this process is another now."""

    data: Mapping[str, Any]


Item = Joined | CircuitChanged | Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """Which changes a follower wants; an empty collection gives no condition."""

    incidents: bool = True
    circuit_breakers: bool = True
    incident_ids: Collection[str] = ()
    severities: Collection[Severity] = ()
    sources: Collection[str] = ()

    def includes(self, item: Item) -> bool:
        """Tell whether it is wanted."""
        match item:
            case Change():
                return (
                    self.incidents
                    and (not self.incident_ids or item.incident_id in self.incident_ids)
                    and (not self.severities or item.severity in self.severities)
                    and (not self.sources or item.source in self.sources)
                )
            case CircuitChanged():
                return self.circuit_breakers
        return True


class Subscription:
    """What waits for one follower. One that lets more than a backlog gather is cut off, and nothing is kept for it.

    Args:
        interest: What it wants.
        backlog: Events that may wait.
    """

    def __init__(self, interest: Interest, backlog: int = BACKLOG) -> None:
        self.interest = interest
        self.has_ended = False
        self._backlog = backlog
        self._waiting: deque[Item] = deque()
        self._news = asyncio.Event()

    def offer(self, item: Item) -> None:
        """Let something wait for the follower, if it wants it."""
        if self.has_ended or not self.interest.includes(item):
            return
        if len(self._waiting) >= self._backlog:
            self.end()
        else:
            self._waiting.append(item)
            self._news.set()

    def end(self) -> None:
        """Cut the follower off."""
        self.has_ended = True
        self._waiting.clear()
        self._news.set()

    async def next(self, timeout: float) -> Item | None:
        """Return what comes next; None when nothing came for `timeout` seconds, or when it has ended."""
        if not self._waiting and not self.has_ended:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._news.wait()
        return self._waiting.popleft() if self._waiting else None
