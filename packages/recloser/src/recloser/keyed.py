"""One breaker per key, made on demand and bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recloser import forks
from recloser.breaker import CircuitBreaker
from recloser.errors import SettingsError
from recloser.settings import Settings, check_seconds

if TYPE_CHECKING:
    from recloser.registry import Registry


@dataclass(frozen=True, slots=True)
class Evictions:
    """The breakers that a collection has forgotten to make room, or because nobody used them. Both only grow.

    Attributes:
        breakers: How many there were.
        calls: The calls they had counted, by status as in `Stats.calls`; empty before the first eviction.
    """

    breakers: int = 0
    calls: Mapping[str, int] = field(default_factory=dict, hash=False)

    def with_breaker(self, calls: Mapping[str, int]) -> Evictions:
        """One more breaker, which had counted these calls."""
        return Evictions(self.breakers + 1, {key: self.calls.get(key, 0) + count for key, count in calls.items()})


class KeyedBreakers:
    """Breakers by key, from `Registry.keyed`.

    The least recently used breaker makes room for a new one, but never one that is not closed, is under an operator's
    control or has calls in flight; one whose window holds failures goes only when no other can. When none may go,
    the bound is exceeded until one may.

    `evictions` tells what has been forgotten, so that no call is lost from the sum.

    Args:
        registry: Holds the breakers, under `name:key`.
        name: What the key is.
        settings: Settings of each breaker.
        max_breakers: Bound on their number.
        retire_after: Seconds without use after which a breaker goes whatever its number, if it is closed or its open
            time is over; None keeps them.

    Raises:
        SettingsError: A bound was refused.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        settings: Settings,
        *,
        max_breakers: int = 1_000,
        retire_after: float | None = None,
    ) -> None:
        if isinstance(max_breakers, bool) or not isinstance(max_breakers, int) or max_breakers < 1:
            raise SettingsError("max_breakers", max_breakers, "must be a whole number, 1 or more")
        if retire_after is not None:
            check_seconds("retire_after", retire_after)
        self.name = name
        self.settings = settings
        self.max_breakers = max_breakers
        self.retire_after = retire_after
        self.evictions = Evictions()
        self.lock = forks.OwnedLock()
        self._registry = registry
        self._used: OrderedDict[Hashable, tuple[CircuitBreaker, float]] = OrderedDict()
        forks.register(self, forks.KEYED)

    def get(self, key: Hashable) -> CircuitBreaker:
        """The breaker of this key, made if there is none."""
        now = self._registry.clock.monotonic()
        if self.lock.is_owned():  # a finaliser or signal handler, in the middle of what is below
            return self._registry.get_or_create(f"{self.name}:{key}", self.settings)
        with self.lock:
            entry = self._used.get(key)
            breaker = self._make(key, now) if entry is None else entry[0]
            self._used[key] = (breaker, now)
            self._used.move_to_end(key)
        return breaker

    __getitem__ = get

    def __contains__(self, key: Hashable) -> bool:
        return key in self._used

    def __len__(self) -> int:
        return len(self._used)

    def _make(self, key: Hashable, now: float) -> CircuitBreaker:
        self._retire(now)
        if len(self._used) >= self.max_breakers:
            self._evict()
        return self._registry.get_or_create(f"{self.name}:{key}", self.settings)

    def _retire(self, now: float) -> None:
        if self.retire_after is None:
            return
        for key, (breaker, used) in list(self._used.items()):
            if now - used < self.retire_after:
                return  # the rest was used later
            if breaker.retirable:
                self._forget(key)

    def _evict(self) -> None:
        second_choice: Hashable | None = None
        for key, (breaker, _) in self._used.items():
            if breaker.idle:
                self._forget(key)
                return
            if second_choice is None and breaker.evictable:
                second_choice = key
        if second_choice is not None:
            self._forget(second_choice)

    def _forget(self, key: Hashable) -> None:
        breaker, _ = self._used.pop(key)
        if breaker.name in self._registry:
            self._registry.remove(breaker.name)
        self.evictions = self.evictions.with_breaker(breaker.call_counts)

    def after_fork(self) -> None:
        """In a forked child: the lock is new and nothing else is lost."""
