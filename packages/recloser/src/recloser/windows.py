"""The sliding windows that rates are computed over. Pure: time is passed in.

Both windows keep running totals, so recording and reading cost the same for 10 calls and for 100,000.
`record` returns a token with which the same call can be amended later, while it is still in the window.
"""

from __future__ import annotations

from typing import Protocol

from recloser.settings import CountWindow, TimeWindow

_FAILURE = 1
_SLOW = 2


class Window(Protocol):
    """What the machine needs of a window."""

    calls: int
    failures: int
    slow: int

    def advance(self, now: float) -> None:
        """Forget what has left the window by `now` (monotonic seconds)."""
        ...

    def record(self, failure: bool, slow: bool, now: float) -> int:
        """Add one call and return its token."""
        ...

    def succeed(self, now: float) -> int:
        """Add one call that succeeded in time: `record(False, False, now)`, faster; whether any is not like it."""
        ...

    def amend_failure(self, token: int, now: float) -> None:
        """Turn the call of `token` into a failure, unless it has left the window."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class CountRing:
    """The last `size` calls: one byte each."""

    __slots__ = ("_bits", "_size", "_total", "calls", "failures", "slow")

    def __init__(self, size: int) -> None:
        self._bits = bytearray(size)
        self._size = size
        self._total = self.calls = self.failures = self.slow = 0

    def advance(self, now: float) -> None:
        """Nothing: a call leaves this window only when a newer one comes."""

    def record(self, failure: bool, slow: bool, now: float) -> int:
        """Add one call, dropping the oldest when full."""
        token = self._total
        place = token % self._size
        if token >= self._size:
            old = self._bits[place]
            self.failures -= old & _FAILURE
            self.slow -= old >> 1
        else:
            self.calls += 1
        self._bits[place] = (_FAILURE if failure else 0) | (_SLOW if slow else 0)
        self.failures += failure
        self.slow += slow
        self._total = token + 1
        return token

    def succeed(self, now: float) -> int:
        """Add one call that succeeded in time; whether there is one in the window that did not."""
        if self.failures or self.slow:
            self.record(False, False, now)
            return self.failures or self.slow
        # All bytes in use are zero, and so are those to come: only the place moves on.
        self._total += 1
        if self.calls < self._size:
            self.calls += 1
        return 0

    def amend_failure(self, token: int, now: float) -> None:
        """Turn the call of `token` into a failure, unless it has left the window."""
        place = token % self._size
        if self._total - self._size <= token < self._total and not self._bits[place] & _FAILURE:
            self._bits[place] |= _FAILURE
            self.failures += 1

    def clear(self) -> None:
        """Forget everything; tokens given out before are void."""
        self._bits = bytearray(self._size)
        self._total = self.calls = self.failures = self.slow = 0

    def entries(self) -> list[tuple[bool, bool]]:
        """(failure, slow) of each call, oldest first."""
        first = max(0, self._total - self._size)
        bits = [self._bits[index % self._size] for index in range(first, self._total)]
        return [(bool(bit & _FAILURE), bool(bit & _SLOW)) for bit in bits]


class BucketRing:
    """The calls of the last `duration` seconds, in `buckets` slices of equal length.

    The window slides by one bucket at a time: it covers between `duration - duration / buckets` and `duration`
    seconds. It is never emptied at a fixed boundary.
    """

    __slots__ = ("_buckets", "_epoch", "_width", "calls", "failures", "slow")

    def __init__(self, duration: float, buckets: int) -> None:
        self._width = duration / buckets
        self._buckets = [[0, 0, 0] for _ in range(buckets)]
        self._epoch: int | None = None
        self.calls = self.failures = self.slow = 0

    def advance(self, now: float) -> None:
        """Forget the buckets that have left the window by `now`."""
        epoch = int(now // self._width)
        if self._epoch is None or epoch <= self._epoch:
            if self._epoch is None:
                self._epoch = epoch
            return
        count = len(self._buckets)
        for step in range(min(epoch - self._epoch, count)):
            bucket = self._buckets[(self._epoch + 1 + step) % count]
            if bucket[0]:
                self.calls -= bucket[0]
                self.failures -= bucket[1]
                self.slow -= bucket[2]
                bucket[:] = 0, 0, 0
        self._epoch = epoch

    def record(self, failure: bool, slow: bool, now: float) -> int:
        """Add one call to the current bucket."""
        self.add(now, 1, failure, slow)
        assert self._epoch is not None
        return self._epoch

    def add(self, at: float, calls: int, failures: int, slow: int) -> None:
        """Add many calls that ended at `at`, which must not lie before the newest bucket."""
        self.advance(at)
        assert self._epoch is not None
        bucket = self._buckets[self._epoch % len(self._buckets)]
        bucket[0] += calls
        bucket[1] += failures
        bucket[2] += slow
        self.calls += calls
        self.failures += failures
        self.slow += slow

    def succeed(self, now: float) -> int:
        """Add one call that succeeded in time; whether there is one in the window that did not."""
        self.advance(now)
        assert self._epoch is not None
        self._buckets[self._epoch % len(self._buckets)][0] += 1
        self.calls += 1
        return self.failures or self.slow

    def amend_failure(self, token: int, now: float) -> None:
        """Turn one call of bucket `token` into a failure, unless the bucket has left the window."""
        self.advance(now)
        assert self._epoch is not None
        if self._epoch - len(self._buckets) < token <= self._epoch:
            bucket = self._buckets[token % len(self._buckets)]
            if bucket[1] < bucket[0]:
                bucket[1] += 1
                self.failures += 1

    def clear(self) -> None:
        """Forget everything; tokens given out before are void."""
        self._epoch = None
        self.calls = self.failures = self.slow = 0
        for bucket in self._buckets:
            bucket[:] = 0, 0, 0

    def entries(self) -> list[tuple[float, int, int, int]]:
        """(start in monotonic seconds, calls, failures, slow) of each bucket in use, oldest first."""
        if self._epoch is None:
            return []
        count = len(self._buckets)
        epochs = range(self._epoch - count + 1, self._epoch + 1)
        return [
            (epoch * self._width, calls, failures, slow)
            for epoch in epochs
            for calls, failures, slow in [self._buckets[epoch % count]]
            if calls
        ]


def make_window(spec: CountWindow | TimeWindow) -> CountRing | BucketRing:
    """An empty window of the given shape."""
    if isinstance(spec, CountWindow):
        return CountRing(spec.size)
    return BucketRing(spec.duration, spec.buckets)


def resize(old: CountRing | BucketRing, spec: CountWindow | TimeWindow, now: float) -> CountRing | BucketRing:
    """A window of another shape that keeps as much of what `old` knows as fits.

    Count to count keeps the newest calls, time to time keeps each bucket's age. From count to time the calls, which
    have no time, are entered as of `now`. From time to count they have no order: as many as fit are entered at the
    same rates, evenly spread.
    """
    old.advance(now)
    if isinstance(spec, CountWindow):
        ring = CountRing(spec.size)
        for failure, slow in old.entries() if isinstance(old, CountRing) else _spread(old, spec.size):
            ring.record(failure, slow, now)
        return ring
    buckets = BucketRing(spec.duration, spec.buckets)
    if isinstance(old, CountRing):
        buckets.add(now, old.calls, old.failures, old.slow)
    else:
        for start, calls, failures, slow_calls in old.entries():
            buckets.add(start, calls, failures, slow_calls)
        buckets.advance(now)
    return buckets


def _spread(old: BucketRing, size: int) -> list[tuple[bool, bool]]:
    count = min(old.calls, size)
    if not count:
        return []
    failures, slow = round(old.failures * count / old.calls), round(old.slow * count / old.calls)

    def chosen(index: int, wanted: int) -> bool:
        return (index + 1) * wanted // count > index * wanted // count

    return [(chosen(index, failures), chosen(index, slow)) for index in range(count)]
