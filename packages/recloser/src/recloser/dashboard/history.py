"""What has happened to the breakers: the latest changes, with times, reasons and who did it."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from recloser.events import BreakerReset, ControlChanged, Event, StateChanged

Change: TypeAlias = StateChanged | ControlChanged | BreakerReset

KINDS: tuple[type[Event], ...] = (StateChanged, ControlChanged, BreakerReset)
"""The events that are remembered."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change.

    Attributes:
        number: Counts up by one with each change, from 1.
        event: What happened.
        who: The person who did it from the page; None when nobody did, or not from here.
    """

    number: int
    event: Change
    who: str | None


class History:
    """The last changes. `note` takes no lock: it may run in a finaliser, or in the middle of anything.

    Args:
        limit: How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._noted: deque[tuple[Change, str | None]] = deque(maxlen=limit)
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._numbers = itertools.count(1)
        self._people: dict[tuple[str, str], str] = {}

    def note(self, event: Change) -> None:
        """Remember an event. It is the listener."""
        words = event.detail if isinstance(event, StateChanged) else event.reason
        self._noted.append((event, self._people.get((event.breaker, words or ""))))

    @contextlib.contextmanager
    def done_by(self, breaker: str, reason: str, who: str) -> Iterator[None]:
        """A person operates a breaker with these words for so long: what comes of it is to carry the name."""
        self._people[breaker, reason] = who
        try:
            yield
        finally:
            self._people.pop((breaker, reason), None)  # two may have said the same at once

    @property
    def has_news(self) -> bool:
        """Whether something was noted since `collect`."""
        return bool(self._noted)

    def collect(self) -> tuple[Entry, ...]:
        """All changes that are remembered, oldest first. For one thread only: it is here that they get numbers."""
        while self._noted:
            event, who = self._noted.popleft()
            self._entries.append(Entry(next(self._numbers), event, who))
        return tuple(self._entries)


def latest(entries: Iterable[Entry], count: int, *, since: int = 0, breaker: str | None = None) -> list[Entry]:
    """The last `count` changes after number `since`, newest first; only of one breaker if it is named."""
    chosen = [e for e in entries if e.number > since and (breaker is None or e.event.breaker == breaker)]
    return chosen[: -count - 1 : -1]
