"""What has happened to the breakers: the latest changes, with times, reasons and who did it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from recloser.events import BreakerReset, ControlChanged, Event, StateChanged

Change: TypeAlias = StateChanged | ControlChanged | BreakerReset

KINDS: tuple[type[Event], ...] = (StateChanged, ControlChanged, BreakerReset)
"""The events that are remembered."""

_REMEMBERED_PEOPLE = 64


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
        self._noted: deque[Change] = deque(maxlen=limit)
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._numbers = itertools.count(1)
        self._people: deque[tuple[str, str, str]] = deque(maxlen=_REMEMBERED_PEOPLE)

    def note(self, event: Change) -> None:
        """Remember an event. It is the listener."""
        self._noted.append(event)

    def expect(self, breaker: str, reason: str, who: str) -> None:
        """A person is about to operate a breaker with these words: what comes of it is to carry the name."""
        self._people.append((breaker, reason, who))

    @property
    def has_news(self) -> bool:
        """Whether something was noted since `collect`."""
        return bool(self._noted)

    def collect(self) -> tuple[Entry, ...]:
        """All changes that are remembered, oldest first. For one thread only: it is here that they get numbers."""
        people = {(breaker, reason): who for breaker, reason, who in self._people.copy()}
        while self._noted:
            event = self._noted.popleft()
            words = event.detail if isinstance(event, StateChanged) else event.reason
            self._entries.append(Entry(next(self._numbers), event, people.get((event.breaker, words or ""))))
        return tuple(self._entries)


def latest(entries: Iterable[Entry], count: int, *, since: int = 0, breaker: str | None = None) -> list[Entry]:
    """The last `count` changes after number `since`, newest first; only of one breaker if it is named."""
    chosen = [e for e in entries if e.number > since and (breaker is None or e.event.breaker == breaker)]
    return chosen[: -count - 1 : -1]
