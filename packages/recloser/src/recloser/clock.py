"""Where time comes from: passed in, so that tests own it."""

from __future__ import annotations

import time
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Two readings of time. `recloser.testing.FakeClock` is one that tests move by hand."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin that never go backwards: every decision uses these."""
        ...

    def time(self) -> float:
        """Seconds since the Unix epoch (UTC): for people, events and snapshots only."""
        ...


class SystemClock:
    """The machine's own clock."""

    # Plain functions of the time module: reading the clock costs no Python frame.
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    def __repr__(self) -> str:
        return "SystemClock()"
