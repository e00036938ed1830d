"""How often somebody may ask: token buckets in memory, one for each key, of this process only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")

MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second in the long run, and `burst` at once after a rest."""

    per_second: float
    burst: int


class RateLimiter(Generic[K]):
    """A bucket for each key; it starts full. Not thread-safe: one event loop uses it.

    Args:
        rate: The rate of each key.
        max_keys: Keys remembered; the one unused for longest is forgotten first, and is then as new.
    """

    def __init__(self, rate: Rate, max_keys: int = MAX_KEYS) -> None:
        self._rate = rate
        self._max_keys = max_keys
        self._buckets: OrderedDict[K, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Count the keys remembered."""
        return len(self._buckets)

    def take(self, key: K, now: float) -> float:
        """Take one out of a key's bucket.

        Args:
            key: Whose bucket.
            now: Monotonic seconds.

        Returns:
            0 when there was one, else the seconds until there is; then nothing was taken.
        """
        left, at = self._buckets.pop(key, (float(self._rate.burst), now))
        left = min(self._rate.burst, left + max(0.0, now - at) * self._rate.per_second)
        missing = max(0.0, 1.0 - left)
        self._buckets[key] = (left if missing else left - 1.0, max(at, now))
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return missing / self._rate.per_second
