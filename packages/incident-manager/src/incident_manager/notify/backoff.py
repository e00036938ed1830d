"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

_MAX_EXPONENT = 32


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter: attempt n waits between half of and the whole of `base * 2**(n-1)`, capped.

    Half of the wait is fixed so that a retry never comes at once, and half is random so that deliveries that failed
    together do not come back together ("equal jitter").

    Args:
        base: Seconds after the first attempt.
        maximum: Seconds at most.
        random: Numbers in [0, 1).
    """

    base: float = 1.0
    maximum: float = 300.0
    random: Callable[[], float] = field(default=random.random, repr=False)

    def after(self, attempts: int) -> float:
        """Seconds to wait after `attempts` failed attempts, 1 or more."""
        exponent = min(max(attempts, 1) - 1, _MAX_EXPONENT)
        whole = min(self.maximum, self.base * 2.0**exponent)
        return whole * (0.5 + 0.5 * self.random())

    def as_asked(self, retry_after: float) -> float:
        """Seconds to wait when the receiver asked for `retry_after`: never sooner, and up to a tenth later.

        An answer of 0 would make a busy loop, so `base` is the least.
        """
        whole = max(self.base, retry_after)
        return whole * (1.0 + 0.1 * self.random())
