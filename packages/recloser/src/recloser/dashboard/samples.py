"""The recent past of a breaker, from readings of counters that only grow. Pure: time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from recloser.stats import Stats
from recloser.summaries import Counts

BARS = 60
"""Slices of time that are kept of each breaker."""

BAR_SECONDS = 5.0
"""Length of a slice."""


class Bar(NamedTuple):
    """What happened within one slice of time. A slice without calls has no bar.

    Attributes:
        slot: The number of the slice: its time over `BAR_SECONDS`.
        succeeded: Calls that did, slow ones included.
        failed: Calls that did, throttled ones included.
        rejected: Calls that did not reach the dependency.
        durations: Calls per bucket of the latency histogram.
    """

    slot: int
    succeeded: int
    failed: int
    rejected: int
    durations: tuple[int, ...]


class Latency(NamedTuple):
    """Upper bounds in seconds of the histogram buckets that hold these shares of the calls; infinite beyond the last.

    Attributes:
        p50: Half of the calls.
        p95: 95 % of them.
        p99: 99 % of them.
        recent: Whether they are those of the last minutes; else they are all calls since the start.
    """

    p50: float
    p95: float
    p99: float
    recent: bool


class Samples:
    """Turns readings of one breaker into bars."""

    __slots__ = ("_bars", "_before")

    def __init__(self) -> None:
        self._bars: deque[Bar] = deque(maxlen=BARS)
        self._before: Stats | None = None

    def add(self, stats: Stats, now: float) -> None:
        """Take a reading at monotonic time `now`. The first one only tells where the counters stand."""
        before, self._before = self._before, stats
        slot = slot_of(now)
        while self._bars and self._bars[0].slot <= slot - BARS:
            self._bars.popleft()
        if before is None or before.calls == stats.calls:
            return
        fresh = _difference(before, stats, slot)
        if self._bars and self._bars[-1].slot == slot:
            fresh = _sum(self._bars.pop(), fresh)
        self._bars.append(fresh)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The slices that had calls, oldest first."""
        return tuple(self._bars)


def latency_of(stats: Stats, bars: Sequence[Bar]) -> Latency | None:
    """The latency of the last minutes, or of all calls where none of these is known; None without calls."""
    durations = tuple(map(sum, zip(*(bar.durations for bar in bars), strict=True)))
    recent = any(durations)
    of = replace(stats, duration_buckets=durations) if recent else stats
    p50, p95, p99 = (of.percentile(ratio) for ratio in (0.5, 0.95, 0.99))
    return None if p50 is None or p95 is None or p99 is None else Latency(p50, p95, p99, recent)


def slot_of(now: float) -> int:
    """The slice of time that `now` lies in."""
    return int(now // BAR_SECONDS)


def _difference(before: Stats, after: Stats, slot: int) -> Bar:
    counts = Counts.of(after).since(Counts.of(before))
    succeeded = after.successful - before.successful
    durations = tuple(b - a for a, b in zip(before.duration_buckets, after.duration_buckets, strict=True))
    return Bar(slot, succeeded, counts.failed, counts.rejected, durations)


def _sum(one: Bar, other: Bar) -> Bar:
    return Bar(
        one.slot,
        one.succeeded + other.succeeded,
        one.failed + other.failed,
        one.rejected + other.rejected,
        tuple(map(sum, zip(one.durations, other.durations, strict=True))),
    )
