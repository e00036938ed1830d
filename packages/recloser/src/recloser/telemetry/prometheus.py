"""Breakers as Prometheus metrics: `BreakerCollector(registry)`. Needs `recloser[prometheus]`.

The collector reads the breakers when it is scraped, so metrics cost a protected call nothing, a new breaker has all
its series from the first scrape, and a forgotten one leaves none behind.

Names follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

from recloser.events import Control, State
from recloser.kernel import BUCKET_BOUNDS
from recloser.registry import Registry
from recloser.telemetry import STATE_VALUES
from recloser.telemetry._readings import Condition, Counts, Reading, Readings, read_registry

__all__ = ["STATE_VALUES", "BreakerCollector"]

_ByKind = dict[str, list[tuple[tuple[str, ...], float]]]
"""Counts by their kind, each with the values of its labels."""


class Source(Protocol):
    """Breakers of several processes: `recloser.telemetry.multiprocess.Workers`."""

    def read(self) -> Readings:
        """All breakers as they are now."""
        ...


class BreakerCollector(Collector):
    """All breakers of a registry as metrics `circuit_breaker_...`, each labelled with the breaker's `name`.

    Counters: `calls_total{status}`, `successful_calls_total`, `failed_calls_total`, `rejected_calls_total`,
    `rejections_total{reason}`, `observed_rejections_total` (shadow mode), `state_transitions_total{from_state,
    to_state}`, `state_seconds_total{state}`, and the histogram `call_duration_seconds` (1 ms to 60 s).

    Gauges: `state` (0 closed, 1 open, 2 half-open), `open_until_timestamp_seconds` (0 when not open, `+Inf` when only
    an operator ends it), `control{control}` (1 for whoever decides, else 0), `in_flight_calls`, `in_flight_probes`,
    `consecutive_failures`, `window_calls`; `failure_ratio` and `slow_call_ratio` while the window holds
    `minimum_calls`; and the thresholds that are set: `failure_threshold`, `failure_ratio_threshold`,
    `slow_call_ratio_threshold`, `slow_call_duration_threshold_seconds`, `minimum_calls`.

    For each keyed collection: `evictions_total{collection}` and `evicted_calls_total{collection, status}`. The series
    of an evicted breaker end, and the calls it had counted go on in the latter.

    With `Workers` also the gauge `workers{name, state}`: how many workers' breakers are in each state.

    Args:
        registry: The breakers to show: a `Registry`, or the `recloser.telemetry.multiprocess.Workers` of a server.
        prefix: Put before each metric's name, for example `myapp_`.
        register: The Prometheus registry to join; None to join none.
        thresholds: Show the settings, too. Without them a breaker has five series less.
    """

    def __init__(
        self,
        registry: Registry | Source,
        prefix: str = "recloser_",
        *,
        register: CollectorRegistry | None = REGISTRY,
        thresholds: bool = True,
    ) -> None:
        self._registry = registry
        self._prefix = f"{prefix}circuit_breaker_"
        self._gauges = (*_GAUGES, *_THRESHOLDS) if thresholds else _GAUGES
        if register is not None:
            register.register(self)

    def describe(self) -> Iterable[Metric]:
        """The metrics without samples, so that registering needs no scrape."""
        return self._families(Readings())

    def collect(self) -> Iterator[Metric]:
        """One consistent reading per breaker, turned into samples."""
        registry = self._registry
        yield from self._families(read_registry(registry) if isinstance(registry, Registry) else registry.read())

    def _families(self, readings: Readings) -> Iterator[Metric]:
        live = [(one.name, one.condition) for one in readings.breakers if one.condition is not None]
        yield self._gauge("state", "State of the circuit: 0 closed, 1 open, 2 half-open.", live, _state)
        counters = [(one.name, _by_kind(one.counts)) for one in readings.breakers]
        for name, kind, labels, help_text in _COUNTERS:
            yield self._counter(name, kind, ["name", *labels], help_text, counters)
        yield self._durations(readings.breakers)
        for name, help_text, read in self._gauges:
            yield self._gauge(name, help_text, live, read)
        yield self._controls(live)
        evictions = [(collection, _by_kind(counts)) for collection, counts in readings.evictions.items()]
        for name, kind, labels, help_text in _EVICTIONS:
            yield self._counter(name, kind, ["collection", *labels], help_text, evictions)
        if not isinstance(self._registry, Registry):
            yield self._workers(readings.breakers)

    def _counter(
        self, name: str, kind: str, labels: list[str], help_text: str, counters: list[tuple[str, _ByKind]]
    ) -> Metric:
        family = CounterMetricFamily(self._prefix + name, help_text, labels=labels)
        for owner, counts in counters:
            for values, count in counts.get(kind, ()):
                family.add_metric([owner, *values], count)
        return family

    def _durations(self, breakers: list[Reading]) -> Metric:
        family = HistogramMetricFamily(
            self._prefix + "call_duration_seconds", "How long calls took that reached the dependency.", labels=["name"]
        )
        bounds = (*map(str, BUCKET_BOUNDS), "+Inf")
        for one in breakers:
            counts = (one.counts.get(f"bucket {place}", 0) for place in range(len(bounds)))
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            family.add_metric([one.name], buckets, one.counts.get("duration_sum", 0.0))
        return family

    def _gauge(
        self, name: str, help_text: str, live: list[tuple[str, Condition]], read: Callable[[Condition], float | None]
    ) -> Metric:
        family = GaugeMetricFamily(self._prefix + name, help_text, labels=["name"])
        for breaker, condition in live:
            value = read(condition)
            if value is not None:
                family.add_metric([breaker], value)
        return family

    def _controls(self, live: list[tuple[str, Condition]]) -> Metric:
        family = GaugeMetricFamily(
            self._prefix + "control", "Who decides: 1 for the control in force, else 0.", labels=["name", "control"]
        )
        for breaker, condition in live:
            for control in Control:
                family.add_metric([breaker, str(control)], control in condition.controls)
        return family

    def _workers(self, breakers: list[Reading]) -> Metric:
        family = GaugeMetricFamily(
            self._prefix + "workers", "Workers whose breaker is in the state.", labels=["name", "state"]
        )
        for one in breakers:
            for state in State if one.workers is not None else ():
                family.add_metric([one.name, str(state)], (one.workers or {}).get(state, 0))
        return family


def _by_kind(counts: Counts) -> _ByKind:
    found: _ByKind = {}
    for key, count in counts.items():
        kind, values = _parts(key)
        found.setdefault(kind, []).append((values, count))
    return found


@functools.cache
def _parts(key: str) -> tuple[str, tuple[str, ...]]:
    kind, *values = key.split(" ")
    return kind, tuple(values)


def _state(condition: Condition) -> float:
    return STATE_VALUES[condition.state]


def _rate(name: str) -> Callable[[Condition], float | None]:
    return lambda condition: condition.rates.get(name)


def _threshold(name: str) -> Callable[[Condition], float | None]:
    return lambda condition: condition.thresholds.get(name)


_COUNTERS: tuple[tuple[str, str, list[str], str], ...] = (
    ("calls", "calls", ["status"], "Calls by how they ended, rejected ones included."),
    ("successful_calls", "successful", [], "Calls that succeeded, slow ones included."),
    ("failed_calls", "failed", [], "Calls that failed."),
    ("rejected_calls", "rejected", [], "Calls rejected without reaching the dependency."),
    ("rejections", "rejections", ["reason"], "Rejected calls by reason."),
    ("observed_rejections", "observed_rejections", [], "Calls that shadow mode let through and would have rejected."),
    ("state_transitions", "transitions", ["from_state", "to_state"], "Changes of state."),
    ("state_seconds", "state_seconds", ["state"], "Time spent in each state."),
)
"""Name, kind of count, labels besides the breaker's name, and help."""

_EVICTIONS: tuple[tuple[str, str, list[str], str], ...] = (
    ("evictions", "evictions", [], "Breakers that a keyed collection has forgotten."),
    ("evicted_calls", "calls", ["status"], "Calls that forgotten breakers had counted, by how they ended."),
)

_Gauge = tuple[str, str, Callable[[Condition], float | None]]

_GAUGES: tuple[_Gauge, ...] = (
    (
        "open_until_timestamp_seconds",
        "When an open circuit may be probed, Unix time; 0 when it is not open, +Inf when an operator holds it open.",
        lambda condition: condition.open_until,
    ),
    ("in_flight_calls", "Calls admitted and not ended, probes included.", lambda condition: condition.in_flight),
    ("in_flight_probes", "Probes admitted and not ended.", lambda condition: condition.probes_in_flight),
    (
        "consecutive_failures",
        "Failures since the last success, while closed.",
        lambda condition: condition.consecutive_failures,
    ),
    ("window_calls", "Calls in the window.", lambda condition: condition.window_calls),
    ("failure_ratio", "Failed calls over calls in the window, once it holds enough.", _rate("failure")),
    ("slow_call_ratio", "Slow calls over calls in the window, once it holds enough.", _rate("slow_call")),
)

_THRESHOLDS: tuple[_Gauge, ...] = (
    ("failure_threshold", "Consecutive failures that open the circuit.", _threshold("failure_threshold")),
    ("failure_ratio_threshold", "Failure ratio that opens the circuit.", _threshold("failure_rate_threshold")),
    ("slow_call_ratio_threshold", "Slow-call ratio that opens it.", _threshold("slow_call_rate_threshold")),
    ("slow_call_duration_threshold_seconds", "Duration from which a call is slow.", _threshold("slow_call_duration")),
    ("minimum_calls", "Calls the window must hold before its ratios count.", _threshold("minimum_calls")),
)
