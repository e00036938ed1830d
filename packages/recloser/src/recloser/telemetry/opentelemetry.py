"""Breakers as OpenTelemetry metrics and span events. Needs `recloser[opentelemetry]` and, to send them, an SDK.

The metrics are read when they are collected, so they cost a protected call nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from recloser.events import BreakerReset, CallRejected, Control, ControlChanged, Event, StateChanged
from recloser.kernel import BUCKET_BOUNDS
from recloser.registry import Registry
from recloser.stats import Stats
from recloser.telemetry import STATE_VALUES

__all__ = ["STATE_VALUES", "observe", "trace_events"]

_PREFIX = "recloser.circuit_breaker."
_Point = tuple[float | None, Mapping[str, str]]
_Read = Callable[[Stats], Iterable[_Point]]
_Callback = Callable[[CallbackOptions], Iterator[Observation]]


def observe(registry: Registry, meter_provider: MeterProvider | None = None) -> Callable[[], None]:
    """Show all breakers of a registry, present and future; each point has the attribute `breaker`.

    Counters: `recloser.circuit_breaker.calls` (by `status`, rejected ones included), `.rejections` (by `reason`),
    `.observed_rejections` (shadow mode), `.state_transitions` (by `from_state` and `to_state`), `.state_time` (seconds
    by `state`), `.call_duration.sum` (seconds) and `.call_duration.bucket` (cumulative by `le`, seconds: OpenTelemetry
    has no histogram that is read at collection). Up-down counters: `.in_flight` and `.probes_in_flight`. Gauges:
    `.state` (0 closed, 1 open, 2 half-open), `.control` (by `control`: 1 for the one in force, else 0),
    `.failure_rate` and `.slow_call_rate` (ratios, while the window holds calls), `.window_calls`,
    `.consecutive_failures`, `.retry_after` (seconds, unless only an operator can tell) and `.time_in_state` (seconds).
    Counters of keyed collections, with the attribute `collection`: `.evictions`, `.evicted_calls` (by `status`).

    Args:
        registry: The breakers to show.
        meter_provider: By default the global one.

    Returns:
        A function that stops it: nothing is observed any more.
    """
    meter = metrics.get_meter("recloser", meter_provider=meter_provider)
    running = [True]

    def callback(read: _Read) -> _Callback:
        def points(_: CallbackOptions) -> Iterator[Observation]:
            for breaker in registry if running else ():
                for value, attributes in read(breaker.stats()):
                    if value is not None:
                        yield Observation(value, {"breaker": breaker.name, **attributes})

        return points

    def evictions(_: CallbackOptions) -> Iterator[Observation]:
        for keyed in registry.keyed_collections() if running else ():
            yield Observation(keyed.evictions.breakers, {"collection": keyed.name})

    def evicted_calls(_: CallbackOptions) -> Iterator[Observation]:
        for keyed in registry.keyed_collections() if running else ():
            for status, count in keyed.evictions.calls.items():
                yield Observation(count, {"collection": keyed.name, "status": status})

    for name, unit, description, read in _COUNTERS:
        meter.create_observable_counter(_PREFIX + name, [callback(read)], unit, description)
    for name, unit, description, read in _UP_DOWN_COUNTERS:
        meter.create_observable_up_down_counter(_PREFIX + name, [callback(read)], unit, description)
    for name, unit, description, read in _GAUGES:
        meter.create_observable_gauge(_PREFIX + name, [callback(read)], unit, description)
    meter.create_observable_counter(_PREFIX + "evictions", [evictions], "{breaker}", "Forgotten keyed breakers.")
    meter.create_observable_counter(
        _PREFIX + "evicted_calls", [evicted_calls], "{call}", "Calls that forgotten breakers had counted."
    )
    return running.clear


def _buckets(stats: Stats) -> Iterator[_Point]:
    bounds = (*map(str, BUCKET_BOUNDS), "+Inf")
    for bound, count in zip(bounds, accumulate(stats.duration_buckets), strict=True):
        yield count, {"le": bound}


def _transitions(stats: Stats) -> Iterator[_Point]:
    for (from_state, to_state), count in stats.transitions.items():
        yield count, {"from_state": str(from_state), "to_state": str(to_state)}


def _controls(stats: Stats) -> Iterator[_Point]:
    for control in Control:
        yield int(control is stats.control), {"control": str(control)}


def _by(attribute: str, read: Callable[[Stats], Mapping[Any, float]]) -> _Read:
    return lambda stats: [(count, {attribute: str(key)}) for key, count in read(stats).items()]


def _one(read: Callable[[Stats], float | None]) -> _Read:
    return lambda stats: [(read(stats), {})]


_Instrument = tuple[str, str, str, _Read]

_COUNTERS: tuple[_Instrument, ...] = (
    ("calls", "{call}", "Calls by how they ended, rejected ones included.", _by("status", lambda stats: stats.calls)),
    ("rejections", "{call}", "Rejected calls by reason.", _by("reason", lambda stats: stats.rejections)),
    (
        "observed_rejections",
        "{call}",
        "Calls that shadow mode let through and would have rejected.",
        _one(lambda stats: stats.observed_rejections),
    ),
    ("state_transitions", "{transition}", "Changes of state.", _transitions),
    ("state_time", "s", "Time spent in each state.", _by("state", lambda stats: stats.state_seconds)),
    ("call_duration.sum", "s", "Time spent in calls.", _one(lambda stats: stats.duration_sum)),
    ("call_duration.bucket", "{call}", "Calls that took at most `le` seconds.", _buckets),
)

_UP_DOWN_COUNTERS: tuple[_Instrument, ...] = (
    ("in_flight", "{call}", "Calls admitted and not ended.", _one(lambda stats: stats.in_flight)),
    ("probes_in_flight", "{call}", "Probes admitted and not ended.", _one(lambda stats: stats.probes_in_flight)),
)

_GAUGES: tuple[_Instrument, ...] = (
    ("state", "1", "0 closed, 1 open, 2 half-open.", _one(lambda stats: STATE_VALUES[stats.state])),
    ("control", "1", "1 for the control in force, else 0.", _controls),
    ("failure_rate", "1", "Failed calls over calls in the window.", _one(lambda stats: stats.failure_rate)),
    ("slow_call_rate", "1", "Slow calls over calls in the window.", _one(lambda stats: stats.slow_call_rate)),
    ("window_calls", "{call}", "Calls in the window.", _one(lambda stats: stats.window_calls)),
    (
        "consecutive_failures",
        "{call}",
        "Failures since the last success, while closed.",
        _one(lambda stats: stats.consecutive_failures),
    ),
    ("retry_after", "s", "Time until a call may be admitted.", _one(lambda stats: stats.retry_after)),
    ("time_in_state", "s", "Time since the state changed.", _one(lambda stats: stats.time_in_state)),
)


def trace_events(registry: Registry) -> Callable[[], None]:
    """Add an event to the current span when a call in it is rejected or changes a breaker, or an operator does.

    The events are `circuit_breaker.rejected`, `.state_changed`, `.control_changed` and `.reset`; their attributes are
    `breaker` and the members of the event, durations in seconds. When several threads use a breaker in the same
    moment, one of them delivers the events of all, and its span gets them.

    Returns:
        A function that stops it.
    """
    return registry.add_listener(_add_to_span, tuple(_SPAN_EVENTS))


def _add_to_span(event: Event) -> None:
    span = trace.get_current_span()
    if not span.is_recording():
        return
    # `time` is left out: the span's event has its own. Enums become plain text, and there is no attribute None.
    values = {field.name: getattr(event, field.name) for field in dataclasses.fields(event) if field.name != "time"}
    attributes = {
        name: str(value) if isinstance(value, str) else value for name, value in values.items() if value is not None
    }
    span.add_event(_SPAN_EVENTS[type(event)], attributes)


_SPAN_EVENTS: dict[type[Event], str] = {
    StateChanged: "circuit_breaker.state_changed",
    CallRejected: "circuit_breaker.rejected",
    ControlChanged: "circuit_breaker.control_changed",
    BreakerReset: "circuit_breaker.reset",
}
