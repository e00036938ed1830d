"""Breakers as Prometheus metrics: `BreakerCollector(registry)`. Needs `recloser[prometheus]`.

The collector reads the breakers when it is scraped, so metrics cost a protected call nothing, a new breaker has all
its series from the first scrape, and a forgotten one leaves none behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

from recloser.events import State
from recloser.kernel import BUCKET_BOUNDS
from recloser.registry import Registry
from recloser.stats import Stats

STATE_VALUES = {State.CLOSED: 0, State.OPEN: 1, State.HALF_OPEN: 2}
"""The value of the state gauge."""


class BreakerCollector(Collector):
    """All breakers of a registry as seven metrics, each labelled with the breaker's `name`.

    `circuit_breaker_state` (0 closed, 1 open, 2 half-open), `circuit_breaker_calls_total{status}`,
    `circuit_breaker_successful_calls_total`, `circuit_breaker_failed_calls_total`,
    `circuit_breaker_rejected_calls_total`, `circuit_breaker_call_duration_seconds` (histogram, 1 ms to 60 s) and
    `circuit_breaker_state_transitions_total{from_state, to_state}`.

    Args:
        registry: The breakers to show.
        prefix: Put before each metric's name, for example `myapp_`.
        register: The Prometheus registry to join; None to join none.
    """

    def __init__(
        self, registry: Registry, prefix: str = "recloser_", *, register: CollectorRegistry | None = REGISTRY
    ) -> None:
        self._registry = registry
        self._prefix = f"{prefix}circuit_breaker_"
        if register is not None:
            register.register(self)

    def describe(self) -> Iterable[Metric]:
        """The metrics without samples, so that registering needs no scrape."""
        return self._families([])

    def collect(self) -> Iterator[Metric]:
        """One consistent reading per breaker, turned into samples."""
        yield from self._families([breaker.stats() for breaker in self._registry])

    def _families(self, readings: list[Stats]) -> list[Metric]:
        return [
            self._state(readings),
            self._calls(readings),
            self._counter("successful_calls", "Calls that succeeded, slow ones included.", readings, "successful"),
            self._counter("failed_calls", "Calls that failed.", readings, "failed"),
            self._counter("rejected_calls", "Calls rejected without reaching the dependency.", readings, "rejected"),
            self._durations(readings),
            self._transitions(readings),
        ]

    def _state(self, readings: list[Stats]) -> Metric:
        family = GaugeMetricFamily(
            self._prefix + "state", "State of the circuit: 0 closed, 1 open, 2 half-open.", labels=["name"]
        )
        for stats in readings:
            family.add_metric([stats.name], STATE_VALUES[stats.state])
        return family

    def _calls(self, readings: list[Stats]) -> Metric:
        family = CounterMetricFamily(
            self._prefix + "calls", "Calls by how they ended, rejected ones included.", labels=["name", "status"]
        )
        for stats in readings:
            for status, count in stats.calls.items():
                family.add_metric([stats.name, status], count)
        return family

    def _counter(self, name: str, help_text: str, readings: list[Stats], attribute: str) -> Metric:
        family = CounterMetricFamily(self._prefix + name, help_text, labels=["name"])
        for stats in readings:
            family.add_metric([stats.name], getattr(stats, attribute))
        return family

    def _durations(self, readings: list[Stats]) -> Metric:
        family = HistogramMetricFamily(
            self._prefix + "call_duration_seconds", "How long calls took that reached the dependency.", labels=["name"]
        )
        for stats in readings:
            seen = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*map(str, BUCKET_BOUNDS), "+Inf"), stats.duration_buckets, strict=True):
                seen += count
                buckets.append((bound, seen))
            family.add_metric([stats.name], buckets, stats.duration_sum)
        return family

    def _transitions(self, readings: list[Stats]) -> Metric:
        family = CounterMetricFamily(
            self._prefix + "state_transitions", "Changes of state.", labels=["name", "from_state", "to_state"]
        )
        for stats in readings:
            for pair in POSSIBLE_TRANSITIONS:
                family.add_metric([stats.name, *map(str, pair)], stats.transitions.get(pair, 0))
        return family


POSSIBLE_TRANSITIONS = tuple(
    (a, b) for a in State for b in State if a is not b and (a, b) != (State.CLOSED, State.HALF_OPEN)
)
"""Every change that can happen; each has a series from the start, so that a rate sees the first one."""
