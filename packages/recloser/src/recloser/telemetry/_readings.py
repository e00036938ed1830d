"""What metrics show of breakers, as plain values that can be added up over processes and written as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from recloser.breaker import CircuitBreaker
from recloser.events import Control, State
from recloser.keyed import Evictions
from recloser.registry import Registry
from recloser.settings import Settings
from recloser.stats import Stats

REASONS = ("open", "half_open_full", "forced_open")
"""Why calls are rejected."""

TRANSITIONS = tuple((a, b) for a in State for b in State if a is not b and (a, b) != (State.CLOSED, State.HALF_OPEN))
"""Every change that can happen; each has a series from the start, so that a rate sees the first one."""

Counts = Mapping[str, float]
"""Counters by `kind label label...`; the kinds are those of `counts_of` and `evictions_of`."""

_SEVERITY = (State.OPEN, State.HALF_OPEN, State.CLOSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A breaker at one instant. Of several workers' breakers of one name, see `together`.

    Attributes:
        state: Closed, open or half-open.
        controls: Who decides.
        open_until: When an open circuit may be probed, in Unix seconds; 0 when it is not open, infinite when only an
            operator can tell.
        window_calls: Calls in the window.
        rates: `failure` and `slow_call` (0..1), when the window holds `minimum_calls`.
        thresholds: The settings that are numbers and are set.
    """

    state: State
    controls: tuple[Control, ...]
    open_until: float
    in_flight: int
    probes_in_flight: int
    consecutive_failures: int
    window_calls: int
    rates: Mapping[str, float]
    thresholds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """One breaker. `condition` is None when the workers that had it are gone, and only its counters are left.

    Attributes:
        workers: How many workers' breakers are in each state; None when workers are not told apart.
    """

    name: str
    counts: Counts
    condition: Condition | None
    workers: Mapping[State, int] | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """All breakers, and what each keyed collection has forgotten, by its name."""

    breakers: list[Reading] = field(default_factory=list)
    evictions: dict[str, Counts] = field(default_factory=dict)


def read_registry(registry: Registry) -> Readings:
    """One consistent reading per breaker."""
    return Readings(
        [read_breaker(breaker) for breaker in registry],
        {keyed.name: evictions_of(keyed.evictions) for keyed in registry.keyed_collections()},
    )


def read_breaker(breaker: CircuitBreaker) -> Reading:
    """A reading of one breaker."""
    stats = breaker.stats()
    return Reading(stats.name, counts_of(stats), condition_of(stats, breaker.settings))


def counts_of(stats: Stats) -> Counts:
    """Everything that only grows."""
    return {
        **{f"calls {status}": count for status, count in stats.calls.items()},
        "successful": stats.successful,
        "failed": stats.failed,
        "rejected": stats.rejected,
        **{f"rejections {reason}": stats.rejections.get(reason, 0) for reason in REASONS},
        "observed_rejections": stats.observed_rejections,
        **{f"transitions {a} {b}": stats.transitions.get((a, b), 0) for a, b in TRANSITIONS},
        **{f"state_seconds {state}": seconds for state, seconds in stats.state_seconds.items()},
        **{f"bucket {place}": count for place, count in enumerate(stats.duration_buckets)},
        "duration_sum": stats.duration_sum,
    }


def evictions_of(evictions: Evictions) -> Counts:
    """What a collection has forgotten."""
    calls = {f"calls {status}": count for status, count in evictions.calls.items()}
    return {"evictions": evictions.breakers, **calls}


def condition_of(stats: Stats, settings: Settings) -> Condition:
    """Everything that comes and goes."""
    rates = {"failure": stats.failure_rate, "slow_call": stats.slow_call_rate}
    enough = stats.window_calls >= settings.minimum_calls
    return Condition(
        state=stats.state,
        controls=(stats.control,),
        open_until=_deadline(stats),
        in_flight=stats.in_flight,
        probes_in_flight=stats.probes_in_flight,
        consecutive_failures=stats.consecutive_failures,
        window_calls=stats.window_calls,
        rates={name: rate for name, rate in rates.items() if enough and rate is not None},
        thresholds=_thresholds(settings),
    )


def _deadline(stats: Stats) -> float:
    if stats.state is not State.OPEN:
        return 0.0
    return math.inf if stats.open_until is None else stats.open_until.timestamp()


def _thresholds(settings: Settings) -> dict[str, float]:
    values = {
        "failure_threshold": settings.failure_threshold,
        "failure_rate_threshold": settings.failure_rate_threshold,
        "slow_call_rate_threshold": settings.slow_call_rate_threshold,
        "slow_call_duration": settings.slow_call_duration,
        "minimum_calls": settings.minimum_calls,
    }
    return {name: value for name, value in values.items() if value is not None}


def total(parts: Iterable[Counts]) -> dict[str, float]:
    """Counters added up."""
    found: dict[str, float] = {}
    for counts in parts:
        for key, value in counts.items():
            found[key] = found.get(key, 0) + value
    return found


def since(start: Counts, counts: Counts) -> Counts:
    """What has been counted since `start`."""
    return {key: value - start.get(key, 0) for key, value in counts.items()}


def together(conditions: list[Condition]) -> Condition:
    """The breakers of one name in several workers as one.

    It is open if any is, else half-open if any is; the deadline is the latest; calls are added up, rates are those
    of all windows together; an operator's hold on any of them shows.
    """
    first = conditions[0]
    return Condition(
        state=min((one.state for one in conditions), key=_SEVERITY.index),
        controls=tuple(dict.fromkeys(control for one in conditions for control in one.controls)),
        open_until=max(one.open_until for one in conditions),
        in_flight=sum(one.in_flight for one in conditions),
        probes_in_flight=sum(one.probes_in_flight for one in conditions),
        consecutive_failures=max(one.consecutive_failures for one in conditions),
        window_calls=sum(one.window_calls for one in conditions),
        rates={name: rate for name in ("failure", "slow_call") if (rate := _rate(name, conditions)) is not None},
        thresholds=first.thresholds,
    )


def _rate(name: str, conditions: list[Condition]) -> float | None:
    sure = [one for one in conditions if name in one.rates]
    calls = sum(one.window_calls for one in sure)
    return sum(one.rates[name] * one.window_calls for one in sure) / calls if calls else None


def condition_to_json(condition: Condition) -> dict[str, object]:
    """The same as values that JSON can hold."""
    return dataclasses.asdict(condition)


def condition_from_json(values: dict[str, object]) -> Condition:
    """Back again."""
    controls: tuple[str, ...] = tuple(values["controls"])  # type: ignore[arg-type]
    return Condition(
        **{  # type: ignore[arg-type]
            **values,
            "state": State(str(values["state"])),
            "controls": tuple(map(Control, controls)),
        }
    )
