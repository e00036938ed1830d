"""What a breaker does, as one frozen and validated value."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from recloser.errors import SettingsError
from recloser.outcomes import Classifier, ExceptionRule, ExceptionRules
from recloser.recovery import Fixed, Recovery, RecoveryFunction

_MAX_WINDOW = 1_000_000
_FIXED = Fixed()


def _count(name: str, value: object, *, at_least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise SettingsError(name, value, f"must be a whole number, {at_least} or more")


def check_seconds(name: str, value: object, *, zero: bool = False) -> None:
    """Refuse what is not a finite number of seconds.

    Raises:
        SettingsError: It is not, or is negative, or is 0 though `zero` is not allowed.
    """
    rule = f"must be a finite number of seconds, {'0 or more' if zero else 'greater than 0'}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise SettingsError(name, value, rule)
    if value < 0 or (value == 0 and not zero):
        raise SettingsError(name, value, rule)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _ratio(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise SettingsError(name, value, "must be a ratio greater than 0 and at most 1 (0.5 is 50 %)")


@dataclass(frozen=True)
class CountWindow:
    """Rates are computed over the last `size` calls.

    Args:
        size: Calls to remember, 1 to 1,000,000; one byte each.
    """

    size: int = 100

    def __post_init__(self) -> None:
        _count("window.size", self.size)
        if self.size > _MAX_WINDOW:
            raise SettingsError("window.size", self.size, f"must be at most {_MAX_WINDOW:,} calls")


@dataclass(frozen=True)
class TimeWindow:
    """Rates are computed over the calls of the last `duration` seconds.

    Args:
        duration: Seconds to look back.
        buckets: Slices the window slides by, 2 to 1,000: more are more exact and cost memory, not time.
    """

    duration: float = 60.0
    buckets: int = 10

    def __post_init__(self) -> None:
        check_seconds("window.duration", self.duration)
        _count("window.buckets", self.buckets, at_least=2)
        if self.buckets > 1_000:
            raise SettingsError("window.buckets", self.buckets, "must be at most 1,000")


def _rules(name: str, value: ExceptionRules) -> tuple[ExceptionRule, ...]:
    rules: tuple[Any, ...]
    if isinstance(value, type) or callable(value):
        rules = (value,)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        rules = tuple(value)
    else:
        raise SettingsError(name, value, "must be an exception type, a predicate, or several of these")
    for rule in rules:
        if isinstance(rule, type) and not issubclass(rule, BaseException):
            raise SettingsError(name, rule, "is a type but not an exception type")
        if isinstance(rule, type) and not issubclass(rule, Exception):
            raise SettingsError(name, rule, "would never be asked: cancellation and interrupts are always ignored")
        if not callable(rule):
            raise SettingsError(name, rule, "must be an exception type or a predicate on exceptions")
    return rules


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one breaker. Durations are seconds, rates are ratios 0..1.

    Args:
        failure_threshold: Consecutive failures that open the circuit; None for no such rule.
        failure_rate_threshold: Failed calls over all calls in the window that open it (compared with `>=`).
        slow_call_duration: A call that takes this long or longer is slow.
        slow_call_rate_threshold: Slow calls over all calls in the window that open it.
        count_in_flight_slow_calls: Count a running call as slow as soon as it is, before it returns.
        window: What the two rates are computed over: `CountWindow` or `TimeWindow`.
        minimum_calls: Calls the window must hold before a rate means anything.
        open_for: Base time to stay open before the first probe; `recovery` makes the real time of it.
        recovery: `Fixed`, `Linear`, `Exponential`, `Adaptive`, another `Recovery`, or a function of
            (attempt, failure rate, last outcome) that returns seconds.
        half_open_max_calls: Probes that may run at the same time in half-open.
        success_threshold: Successful probes that close the circuit. It may exceed `half_open_max_calls`: slots come
            back as probes end.
        half_open_timeout: Longest half-open period. A probe that hangs this long opens the circuit again.
        failure_on: Exceptions that are failures: types, predicates, or several. Others are successes.
        ignore: Exceptions that say nothing about the dependency; asked before `failure_on`.
        unreachable: Exceptions of calls that never got out (a full local pool): failures while closed, inconclusive
            in half-open.
        failure_on_result: Predicate on the returned value that makes a failure of it.
        classify: Full control: `classify(exception, result)` returns a `Verdict`, an `Outcome`, or None for the
            rules above.
        max_retry_after: Longest time a dependency may ask for with Retry-After.
        tags: Free text for people and dashboards (`{"team": "search"}`).

    Raises:
        SettingsError: A value, or a combination that could never take effect, was refused.
    """

    failure_threshold: int | None = 5
    failure_rate_threshold: float | None = None
    slow_call_duration: float | None = None
    slow_call_rate_threshold: float | None = None
    count_in_flight_slow_calls: bool = False
    window: CountWindow | TimeWindow = CountWindow()
    minimum_calls: int = 10
    open_for: float = 30.0
    recovery: Recovery | RecoveryFunction = _FIXED
    half_open_max_calls: int = 1
    success_threshold: int = 1
    half_open_timeout: float = 60.0
    failure_on: ExceptionRules = (Exception,)
    ignore: ExceptionRules = ()
    unreachable: ExceptionRules = ()
    failure_on_result: Callable[[Any], bool] | None = None
    classify: Classifier | None = None
    max_retry_after: float = 3_600.0
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        self._check_values()
        for name in ("failure_on", "ignore", "unreachable"):
            object.__setattr__(self, name, _rules(name, getattr(self, name)))
        object.__setattr__(self, "tags", _tags(self.tags))
        self._check_combinations()

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, validated anew.

        Raises:
            SettingsError: A value or combination was refused, or a name is not a setting.
        """
        known = {item.name for item in dataclasses.fields(self)}
        for name, value in changes.items():
            if name not in known:
                alike = nearest(name, known)
                raise SettingsError(name, value, "is not a setting" + (f"; did you mean {alike!r}?" if alike else ""))
        return dataclasses.replace(self, **changes)

    def _check_values(self) -> None:
        if self.failure_threshold is not None:
            _count("failure_threshold", self.failure_threshold)
        for name in ("failure_rate_threshold", "slow_call_rate_threshold"):
            if getattr(self, name) is not None:
                _ratio(name, getattr(self, name))
        if self.slow_call_duration is not None:
            check_seconds("slow_call_duration", self.slow_call_duration)
        for name in ("minimum_calls", "half_open_max_calls", "success_threshold"):
            _count(name, getattr(self, name))
        check_seconds("open_for", self.open_for, zero=True)
        check_seconds("half_open_timeout", self.half_open_timeout)
        check_seconds("max_retry_after", self.max_retry_after)
        if not isinstance(self.count_in_flight_slow_calls, bool):
            raise SettingsError("count_in_flight_slow_calls", self.count_in_flight_slow_calls, "must be True or False")
        if not isinstance(self.window, CountWindow | TimeWindow):
            raise SettingsError("window", self.window, "must be a CountWindow or a TimeWindow")
        if not isinstance(self.recovery, Recovery) and not callable(self.recovery):
            raise SettingsError("recovery", self.recovery, "must be a Recovery or a function that returns seconds")
        for name in ("failure_on_result", "classify"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise SettingsError(name, getattr(self, name), "must be callable, or None")

    def _check_combinations(self) -> None:
        by_rate = self.failure_rate_threshold is not None or self.slow_call_rate_threshold is not None
        if self.failure_threshold is None and not by_rate and self.classify is None:
            raise SettingsError(
                "failure_threshold",
                None,
                "nothing could open the circuit: set failure_threshold, failure_rate_threshold or "
                "slow_call_rate_threshold (or a classify that answers THROTTLED)",
            )
        if by_rate and isinstance(self.window, CountWindow) and self.minimum_calls > self.window.size:
            raise SettingsError(
                "minimum_calls",
                self.minimum_calls,
                f"must be at most window.size={self.window.size}, or no rate could ever be reached",
            )
        if self.slow_call_rate_threshold is not None and self.slow_call_duration is None:
            raise SettingsError("slow_call_rate_threshold", self.slow_call_rate_threshold, "needs slow_call_duration")
        if self.count_in_flight_slow_calls and self.slow_call_rate_threshold is None:
            raise SettingsError("count_in_flight_slow_calls", True, "needs slow_call_rate_threshold")
        cap = getattr(self.recovery, "max_open", None)
        if cap is not None and cap < self.open_for:
            raise SettingsError("open_for", self.open_for, f"must be at most recovery.max_open={cap!r} seconds")


def _tags(tags: object) -> dict[str, str]:
    if not isinstance(tags, Mapping):
        raise SettingsError("tags", tags, "must be a mapping of text to text")
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise SettingsError("tags", {key: value}, "must be a mapping of text to text")
    return dict(tags)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, for error messages; None when nothing is alike."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return matches[0] if matches else None
