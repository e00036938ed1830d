"""What a breaker remembers of its calls (counters, latency histogram, window), and the hot path: a call that is
admitted while the circuit is closed and succeeds in time. Pure: time is passed in.

The caller holds the breaker's lock. `hot_generation` is the generation that may use the hot path; it is negative
whenever the machine has to see each call (not closed, under an operator's control, observed by a listener).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from typing import Any, NamedTuple

from recloser.outcomes import Outcome
from recloser.settings import Settings
from recloser.windows import make_window, resize

BUCKET_BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds (inclusive, seconds) of the latency histogram; one more bucket holds what is longer."""

UNTIMED = frozenset({Outcome.IGNORED, Outcome.RELEASED, Outcome.EXPIRED})
"""Outcomes whose duration says nothing about the dependency."""

RATE_NEVER = 2.0
"""A threshold that no rate reaches: they are 1 at most."""

_NEVER = math.inf
_FIRST_BOUND = BUCKET_BOUNDS[0]
_SUCCESS = Outcome.SUCCESS


class Reading(NamedTuple):
    """What a kernel knows, all of it at the same instant; see `recloser.Stats` for the meaning of the members."""

    counts: dict[Outcome, int]
    histogram: tuple[int, ...]
    duration_sum: float
    rejections: dict[str, int]
    in_flight: int
    consecutive_failures: int
    window_calls: int
    failure_rate: float | None
    slow_call_rate: float | None


class Kernel:
    """Counters and window of one breaker, and the rules that open it.

    Attributes:
        hot_generation: The generation that may use the hot path; negative when none may.
        refusing: The reason for which every call is rejected until `open_until`, when nobody else has to see it.
        open_until: When an open circuit may be probed, in monotonic seconds.
        last_failure: The last counted failure as text.
        has_deferred: Whether `take_deferred` would give anything.
    """

    __slots__ = (
        "_deferred",
        "_failure_rate",
        "_failure_threshold",
        "_minimum_calls",
        "_rejections",
        "_slow_rate",
        "_tickets",
        "consecutive_failures",
        "counts",
        "duration_sum",
        "has_deferred",
        "histogram",
        "hot_calls",
        "hot_generation",
        "judges_results",
        "last_failure",
        "open_until",
        "refusing",
        "slow_after",
        "window",
    )

    def __init__(self, settings: Settings) -> None:
        self.hot_generation = -1
        self.refusing: str | None = None
        self.open_until = math.inf
        self.last_failure: str | None = None
        # One item per hot call in flight: appending and popping are atomic, so that entering needs no lock.
        self.hot_calls: deque[None] = deque()
        self._tickets = 0
        self._deferred: list[Any] = []
        self.has_deferred = False
        self.counts = dict.fromkeys(Outcome, 0)
        self.histogram = [0] * (len(BUCKET_BOUNDS) + 1)
        self.duration_sum = 0.0
        self._rejections: dict[str, int] = {}
        self.consecutive_failures = 0
        self.window = make_window(settings.window)
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        self.slow_after = settings.slow_call_duration or _NEVER
        self._failure_threshold = settings.failure_threshold or _NEVER
        self._failure_rate = settings.failure_rate_threshold or RATE_NEVER
        self._slow_rate = settings.slow_call_rate_threshold or RATE_NEVER
        self._minimum_calls = settings.minimum_calls
        self.judges_results = settings.classify is not None or settings.failure_on_result is not None

    def reconfigure(self, old: Settings, new: Settings, now: float) -> None:
        """Take new settings and keep what is known."""
        if old.window != new.window:
            self.window = resize(self.window, new.window, now)
        self._apply(new)

    @property
    def in_flight(self) -> int:
        """Calls admitted and not settled, with and without a ticket."""
        return len(self.hot_calls) + self._tickets

    def admit(self) -> None:
        """A call has been given a ticket."""
        self._tickets += 1

    def release(self, hot: bool) -> None:
        """A call has ended: one of the hot path, or one with a ticket."""
        if hot:
            self.hot_calls.pop()
        else:
            self._tickets -= 1

    def forget_calls(self) -> None:
        """The calls in flight belong to another process."""
        self.hot_calls.clear()
        self._tickets = 0

    def defer(self, item: Any) -> None:
        """Keep something until `take_deferred`. A finaliser calls this, so at any time and from any thread."""
        self._deferred.append(item)
        self.has_deferred = True

    def take_deferred(self) -> list[Any]:
        """What was deferred, each thing once."""
        self.has_deferred = False
        return [self._deferred.pop(0) for _ in range(len(self._deferred))]

    def succeed(self, duration: float, now: float) -> str | None:
        """A call of the hot generation succeeded in time; the rule that opens the circuit all the same, or None.

        A success can open it: it may be the call that fills `minimum_calls`.
        """
        self.hot_calls.pop()
        self.counts[_SUCCESS] += 1
        self.histogram[bisect_left(BUCKET_BOUNDS, duration) if duration > _FIRST_BOUND else 0] += 1
        self.duration_sum += duration
        self.consecutive_failures = 0
        return self.broken_rule() if self.window.succeed(now) else None

    def count(self, outcome: Outcome, duration: float) -> None:
        """Count a call that ended, and its duration in seconds if it says something about the dependency."""
        self.counts[outcome] += 1
        if outcome not in UNTIMED:
            self.histogram[bisect_left(BUCKET_BOUNDS, duration)] += 1
            self.duration_sum += duration

    def count_rejection(self, reason: str) -> None:
        """Count a call that was rejected."""
        self._rejections[reason] = self._rejections.get(reason, 0) + 1

    def record(self, failure: bool, slow: bool, now: float) -> str | None:
        """Enter a call into the window; the name of the rule that opens the circuit, or None."""
        self.consecutive_failures = self.consecutive_failures + 1 if failure else 0
        self.window.record(failure, slow, now)
        return self.broken_rule()

    def record_running_slow(self, now: float) -> int:
        """Enter a call that is still running and already slow; returns its token for `settle_running_slow`."""
        return self.window.record(False, True, now)

    def settle_running_slow(self, token: int, failure: bool, now: float) -> str | None:
        """The call of `token` has ended; it is in the window already and is not counted again."""
        self.consecutive_failures = self.consecutive_failures + 1 if failure else 0
        if failure:
            self.window.amend_failure(token, now)
        return self.broken_rule()

    def broken_rule(self) -> str | None:
        """The first rule whose threshold is reached, or None. Rates compare with `>=`."""
        if self.consecutive_failures >= self._failure_threshold:
            return "consecutive_failures"
        window = self.window
        calls = window.calls
        if calls >= self._minimum_calls:
            if window.failures / calls >= self._failure_rate:
                return "failure_rate"
            if window.slow / calls >= self._slow_rate:
                return "slow_call_rate"
        return None

    def advance(self, now: float) -> None:
        """Forget what has left the window by `now`."""
        self.window.advance(now)

    @property
    def window_calls(self) -> int:
        """Calls in the window."""
        return self.window.calls

    def failure_rate(self, now: float) -> float | None:
        """Failed calls over all calls in the window (0..1), or None when it is empty."""
        self.window.advance(now)
        return self.window.failures / self.window.calls if self.window.calls else None

    def slow_call_rate(self, now: float) -> float | None:
        """Slow calls over all calls in the window (0..1), or None when it is empty."""
        self.window.advance(now)
        return self.window.slow / self.window.calls if self.window.calls else None

    def clear_window(self) -> None:
        """Start a new era: forget the window and the row of failures; counters and histogram stay.

        Nobody may use the hot path until the new generation has been named.
        """
        self.hot_generation = -1
        self.window.clear()
        self.consecutive_failures = 0

    def reading(self, now: float) -> Reading:
        """Everything at one instant."""
        return Reading(
            counts=dict(self.counts),
            histogram=tuple(self.histogram),
            duration_sum=self.duration_sum,
            rejections=dict(self._rejections),
            in_flight=self.in_flight,
            consecutive_failures=self.consecutive_failures,
            failure_rate=self.failure_rate(now),
            slow_call_rate=self.slow_call_rate(now),
            window_calls=self.window.calls,
        )
