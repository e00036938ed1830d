"""The compiled kernel with the face of the Python one: `Settings` and `Outcome` become plain numbers here.

The hot path does not pass through this module; it is in C from the call to the result.
"""

from __future__ import annotations

import math
from typing import Any

from recloser.kernel import _kernel
from recloser.kernel.python import RATE_NEVER, UNTIMED, Reading
from recloser.outcomes import Outcome
from recloser.settings import CountWindow, Settings, TimeWindow

_OUTCOMES = tuple(Outcome)
_PLACE = {outcome: (index, outcome not in UNTIMED) for index, outcome in enumerate(_OUTCOMES)}
_REASONS = ("open", "half_open_full", "forced_open")
_COUNT_NEVER = 2**32 - 1


def _shape(window: CountWindow | TimeWindow) -> tuple[float, int]:
    if isinstance(window, CountWindow):
        return 0.0, window.size
    return window.duration / window.buckets, window.buckets


class Kernel(_kernel.Kernel):
    """Counters and window of one breaker, and the rules that open it, in one C struct."""

    __slots__ = ()

    def __init__(self, settings: Settings) -> None:
        self.set_window(*_shape(settings.window), 0.0)
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        self.set_rules(
            settings.slow_call_duration or math.inf,
            min(settings.failure_threshold or _COUNT_NEVER, _COUNT_NEVER),
            settings.failure_rate_threshold or RATE_NEVER,
            settings.slow_call_rate_threshold or RATE_NEVER,
            min(settings.minimum_calls, _COUNT_NEVER),
            settings.classify is not None or settings.failure_on_result is not None,
        )

    def reconfigure(self, old: Settings, new: Settings, now: float) -> None:
        """Take new settings and keep what is known."""
        if old.window != new.window:
            self.set_window(*_shape(new.window), now)
        self._apply(new)

    def count(self, outcome: Outcome, duration: float) -> None:
        """Count a call that ended, and its duration in seconds if it says something about the dependency."""
        self.add(*_PLACE[outcome], duration)

    def reading(self, now: float) -> Reading:
        """Everything at one instant."""
        counts, histogram, total, rejections, in_flight, consecutive, calls, failures, slow = self.values(now)
        return Reading(
            counts=dict(zip(_OUTCOMES, counts, strict=True)),
            histogram=histogram,
            duration_sum=total,
            rejections={reason: count for reason, count in zip(_REASONS, rejections, strict=True) if count},
            in_flight=in_flight,
            consecutive_failures=consecutive,
            window_calls=calls,
            failure_rate=failures / calls if calls else None,
            slow_call_rate=slow / calls if calls else None,
        )

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a kernel counts the calls of this process and cannot be pickled")
