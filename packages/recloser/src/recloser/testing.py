"""Help for testing code that uses recloser: a clock that only moves when told."""

from __future__ import annotations

import threading


class FakeClock:
    """A `recloser.Clock` that tests move by hand; safe to share between threads.

    Args:
        start: First monotonic reading, in seconds.
        time: First Unix time, in seconds (default 2026-01-01T00:00:00Z).
    """

    def __init__(self, start: float = 1_000.0, time: float = 1_767_225_600.0) -> None:
        self._lock = threading.Lock()
        self._monotonic = start
        self._time = time

    def monotonic(self) -> float:
        """The current monotonic reading in seconds."""
        return self._monotonic

    def time(self) -> float:
        """The current Unix time in seconds."""
        return self._time

    def advance(self, seconds: float) -> None:
        """Move both readings forward.

        Raises:
            ValueError: `seconds` is negative: monotonic time never goes back.
        """
        if not seconds >= 0:
            raise ValueError(f"seconds={seconds!r}: time moves forward only, give 0 or more")
        with self._lock:
            self._monotonic += seconds
            self._time += seconds

    def set_time(self, time: float) -> None:
        """Set the Unix time alone, as when an administrator corrects a wall clock."""
        with self._lock:
            self._time = time

    def __repr__(self) -> str:
        return f"FakeClock(monotonic={self._monotonic}, time={self._time})"
