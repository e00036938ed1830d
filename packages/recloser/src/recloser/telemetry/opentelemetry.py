"""Breakers as OpenTelemetry metrics and span events. Needs `recloser[opentelemetry]` and, to send them, an SDK.

The metrics are read when they are collected, so they cost a protected call nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from recloser.events import CallRejected, Event, State, StateChanged
from recloser.kernel import BUCKET_BOUNDS
from recloser.registry import Registry
from recloser.stats import Stats

__all__ = ["STATE_VALUES", "observe", "trace_events"]

STATE_VALUES = {State.CLOSED: 0, State.OPEN: 1, State.HALF_OPEN: 2}
"""The value of the state gauge."""

_PREFIX = "recloser.circuit_breaker."
_Point = tuple[float | None, Mapping[str, str]]
_Read = Callable[[Stats], Iterable[_Point]]


def observe(registry: Registry, meter_provider: MeterProvider | None = None) -> Callable[[], None]:
    """Show all breakers of a registry, present and future; each point has the attribute `breaker`.

    Counters: `recloser.circuit_breaker.calls` (by `status`, rejected ones included), `.rejections` (by `reason`),
    `.state_transitions` (by `from_state` and `to_state`), `.call_duration.sum` (seconds) and `.call_duration.bucket`
    (cumulative by `le`, seconds: OpenTelemetry has no histogram that is read at collection). Gauges: `.state`
    (0 closed, 1 open, 2 half-open), `.in_flight`, `.failure_rate` and `.slow_call_rate` (ratios, while the window
    holds calls), `.retry_after` (seconds, unless only an operator can tell) and `.time_in_state` (seconds).

    Args:
        registry: The breakers to show.
        meter_provider: By default the global one.

    Returns:
        A function that stops it: nothing is observed any more.
    """
    meter = metrics.get_meter("recloser", meter_provider=meter_provider)
    running = [True]

    def callback(read: _Read) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def points(_: CallbackOptions) -> Iterator[Observation]:
            for breaker in registry if running else ():
                for value, attributes in read(breaker.stats()):
                    if value is not None:
                        yield Observation(value, {"breaker": breaker.name, **attributes})

        return points

    for name, unit, description, read in _COUNTERS:
        meter.create_observable_counter(_PREFIX + name, [callback(read)], unit, description)
    for name, unit, description, read in _GAUGES:
        meter.create_observable_gauge(_PREFIX + name, [callback(read)], unit, description)
    return running.clear


def _buckets(stats: Stats) -> Iterator[_Point]:
    bounds = (*map(str, BUCKET_BOUNDS), "+Inf")
    for bound, count in zip(bounds, accumulate(stats.duration_buckets), strict=True):
        yield count, {"le": bound}


def _transitions(stats: Stats) -> Iterator[_Point]:
    for (from_state, to_state), count in stats.transitions.items():
        yield count, {"from_state": str(from_state), "to_state": str(to_state)}


def _by(attribute: str, read: Callable[[Stats], Mapping[str, int]]) -> _Read:
    return lambda stats: [(count, {attribute: key}) for key, count in read(stats).items()]


def _one(read: Callable[[Stats], float | None]) -> _Read:
    return lambda stats: [(read(stats), {})]


_COUNTERS: tuple[tuple[str, str, str, _Read], ...] = (
    ("calls", "{call}", "Calls by how they ended, rejected ones included.", _by("status", lambda stats: stats.calls)),
    ("rejections", "{call}", "Rejected calls by reason.", _by("reason", lambda stats: stats.rejections)),
    ("state_transitions", "{transition}", "Changes of state.", _transitions),
    ("call_duration.sum", "s", "Time spent in calls.", _one(lambda stats: stats.duration_sum)),
    ("call_duration.bucket", "{call}", "Calls that took at most `le` seconds.", _buckets),
)

_GAUGES: tuple[tuple[str, str, str, _Read], ...] = (
    ("state", "1", "0 closed, 1 open, 2 half-open.", _one(lambda stats: STATE_VALUES[stats.state])),
    ("in_flight", "{call}", "Calls admitted and not ended.", _one(lambda stats: stats.in_flight)),
    ("failure_rate", "1", "Failed calls over calls in the window.", _one(lambda stats: stats.failure_rate)),
    ("slow_call_rate", "1", "Slow calls over calls in the window.", _one(lambda stats: stats.slow_call_rate)),
    ("retry_after", "s", "Time until a call may be admitted.", _one(lambda stats: stats.retry_after)),
    ("time_in_state", "s", "Time since the state changed.", _one(lambda stats: stats.time_in_state)),
)


def trace_events(registry: Registry) -> Callable[[], None]:
    """Add an event to the current span when a call in it is rejected or changes the state of a breaker.

    The events are `circuit_breaker.rejected` and `circuit_breaker.state_changed`. When several threads use a breaker
    in the same moment, one of them delivers the events of all, and its span gets them.

    Returns:
        A function that stops it.
    """
    return registry.add_listener(_add_to_span, (StateChanged, CallRejected))


def _add_to_span(event: Event) -> None:
    span = trace.get_current_span()
    if not span.is_recording():
        return
    if isinstance(event, StateChanged):
        name = "circuit_breaker.state_changed"
        values = {
            "from_state": str(event.from_state),
            "to_state": str(event.to_state),
            "reason": event.reason,
            "detail": event.detail,
            "open_for": event.open_for,
        }
    elif isinstance(event, CallRejected):
        name = "circuit_breaker.rejected"
        values = {"reason": event.reason, "retry_after": event.retry_after, "observed": event.observed}
    else:
        return
    present = {key: value for key, value in values.items() if value is not None}
    span.add_event(name, {"breaker": event.breaker, **present})
