"""Metrics and span events, read back from the real SDK."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from packages.recloser.tests.support import fail, is_rejected, ok_async, settings, succeed, trip

from recloser import CircuitOpenError, Registry
from recloser.telemetry.opentelemetry import observe, trace_events
from recloser.testing import FakeClock


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(settings(), clock=clock)


class Metrics:
    """An SDK whose metrics are collected when a test asks for them."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def points(self, name: str) -> dict[frozenset[tuple[str, Any]], float]:
        """Value by attributes of one metric; empty when it has no points."""
        data = self.reader.get_metrics_data()
        found = [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"recloser.circuit_breaker.{name}"
            for point in metric.data.data_points
        ]
        return {frozenset(point.attributes.items()): point.value for point in found}

    def value(self, name: str, **attributes: str) -> float:
        return self.points(name)[frozenset(attributes.items())]


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    metrics = Metrics()
    yield metrics
    metrics.provider.shutdown()


def test_state_is_a_number(registry: Registry, metrics: Metrics, clock: FakeClock) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db")
    assert metrics.value("state", breaker="db") == 0
    trip(db)
    assert metrics.value("state", breaker="db") == 1
    clock.advance(10)
    probe = db.acquire()
    assert metrics.value("state", breaker="db") == 2
    probe.success()
    assert metrics.value("state", breaker="db") == 0


def test_calls_are_counted_by_how_they_ended(registry: Registry, metrics: Metrics) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db")
    assert set(metrics.points("calls").values()) == {0}
    succeed(db, 5)
    db.acquire().ignore()
    trip(db)
    is_rejected(db)
    counted = {dict(key)["status"]: value for key, value in metrics.points("calls").items() if value}
    assert counted == {"success": 5, "ignored": 1, "failure": 3, "rejected": 1}
    assert metrics.value("rejections", breaker="db", reason="open") == 1


def test_changes_of_state_are_counted(registry: Registry, metrics: Metrics, clock: FakeClock) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db")
    trip(db)
    clock.advance(10)
    fail(db)
    assert metrics.value("state_transitions", breaker="db", from_state="closed", to_state="open") == 1
    assert metrics.value("state_transitions", breaker="db", from_state="half_open", to_state="open") == 1


def test_durations(registry: Registry, metrics: Metrics, clock: FakeClock) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db")
    for seconds in (0.25, 0.25, 4, 120):
        db.call(clock.advance, seconds)
    assert metrics.value("call_duration.sum", breaker="db") == 124.5
    buckets = {dict(key)["le"]: value for key, value in metrics.points("call_duration.bucket").items()}
    assert (buckets["0.1"], buckets["0.5"], buckets["5.0"], buckets["60.0"], buckets["+Inf"]) == (0, 2, 3, 3, 4)


def test_gauges(registry: Registry, metrics: Metrics, clock: FakeClock) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db", settings(failure_rate_threshold=0.9))
    permit = db.acquire()
    succeed(db)
    assert metrics.points("failure_rate") == {frozenset({("breaker", "db")}): 0}
    assert metrics.value("in_flight", breaker="db") == 1
    permit.ignore()
    trip(db)
    clock.advance(4)
    assert metrics.value("retry_after", breaker="db") == 6
    assert metrics.value("time_in_state", breaker="db") == 4
    db.force_open("maintenance")
    assert metrics.points("retry_after") == {}


def test_time_in_each_state_is_counted(registry: Registry, metrics: Metrics, clock: FakeClock) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db")
    clock.advance(5)
    trip(db)
    clock.advance(3)
    shown = {dict(key)["state"]: value for key, value in metrics.points("state_time").items()}
    assert shown == {"closed": 5, "open": 3, "half_open": 0}


def test_control_in_force_is_one(registry: Registry, metrics: Metrics) -> None:
    observe(registry, metrics.provider)
    registry.get_or_create("db").disable("migration")
    shown = {dict(key)["control"]: value for key, value in metrics.points("control").items()}
    assert {control for control, value in shown.items() if value} == {"disabled"}
    assert len(shown) == 5


def test_probes_window_and_failures_in_a_row(registry: Registry, metrics: Metrics, clock: FakeClock) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db")
    succeed(db)
    fail(db, 2)
    assert metrics.value("window_calls", breaker="db") == 3
    assert metrics.value("consecutive_failures", breaker="db") == 2
    fail(db)
    clock.advance(10)
    probe = db.acquire()
    assert metrics.value("probes_in_flight", breaker="db") == 1
    probe.success()
    assert metrics.value("probes_in_flight", breaker="db") == 0


def test_what_shadow_mode_would_have_rejected(registry: Registry, metrics: Metrics) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db")
    db.observe_only("trying it out")
    trip(db)
    succeed(db, 2)
    assert metrics.value("observed_rejections", breaker="db") == 2


def test_calls_of_evicted_breakers_stay_in_the_sum(registry: Registry, metrics: Metrics) -> None:
    observe(registry, metrics.provider)
    hosts = registry.keyed("host", max_breakers=1)
    succeed(hosts["a"], 2)
    succeed(hosts["b"])
    assert metrics.value("evictions", collection="host") == 1
    assert metrics.value("evicted_calls", collection="host", status="success") == 2


def test_forgotten_breaker_leaves_no_points(registry: Registry, metrics: Metrics) -> None:
    observe(registry, metrics.provider)
    succeed(registry.get_or_create("db"))
    succeed(registry.get_or_create("api"))
    assert len(metrics.points("state")) == 2
    registry.remove("db")
    assert {dict(key)["breaker"] for name in ("state", "calls") for key in metrics.points(name)} == {"api"}


def test_collection_changes_nothing(registry: Registry, metrics: Metrics, clock: FakeClock) -> None:
    observe(registry, metrics.provider)
    db = registry.get_or_create("db")
    trip(db)
    clock.advance(10)
    metrics.points("state")
    assert db.state == "open"


def test_metrics_can_be_stopped(registry: Registry, metrics: Metrics) -> None:
    stop = observe(registry, metrics.provider)
    registry.get_or_create("db")
    assert metrics.points("state")
    stop()
    assert not metrics.points("state")


class Spans:
    """An SDK that keeps the spans that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")

    def events(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Span, name and attributes of every event that is ours."""
        return [
            (span.name, event.name, dict(event.attributes or {}))
            for span in self.exporter.get_finished_spans()
            for event in span.events
            if event.name.startswith("circuit_breaker.")
        ]


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


REJECTED = {"breaker": "db", "reason": "open", "retry_after": 10.0, "observed": False}


def test_span_tells_of_opening_and_rejection(registry: Registry, spans: Spans) -> None:
    trace_events(registry)
    db = registry.get_or_create("db")
    with spans.tracer.start_as_current_span("opens"):
        trip(db)
    with spans.tracer.start_as_current_span("rejected"):
        is_rejected(db)
    opened = {
        "breaker": "db",
        "from_state": "closed",
        "to_state": "open",
        "reason": "consecutive_failures",
        "detail": "Boom: down",
        "open_for": 10.0,
        "attempt": 1,
    }
    assert spans.events() == [
        ("opens", "circuit_breaker.state_changed", opened),
        ("rejected", "circuit_breaker.rejected", REJECTED),
    ]


def test_span_tells_of_what_an_operator_does(registry: Registry, spans: Spans) -> None:
    trace_events(registry)
    db = registry.get_or_create("db")
    with spans.tracer.start_as_current_span("operate"):
        db.disable("migration")
        db.reset("done")
    changed = {"breaker": "db", "from_control": "automatic", "to_control": "disabled", "reason": "migration"}
    back = {"breaker": "db", "from_control": "disabled", "to_control": "automatic", "reason": "done"}
    assert spans.events() == [
        ("operate", "circuit_breaker.control_changed", changed),
        ("operate", "circuit_breaker.control_changed", back),
        ("operate", "circuit_breaker.reset", {"breaker": "db", "reason": "done"}),
    ]


async def test_span_tells_of_rejection_async(registry: Registry, spans: Spans) -> None:
    trace_events(registry)
    db = registry.get_or_create("db")
    trip(db)
    with spans.tracer.start_as_current_span("rejected"), pytest.raises(CircuitOpenError):
        await db.call(ok_async)
    assert spans.events() == [("rejected", "circuit_breaker.rejected", REJECTED)]


def test_calls_without_a_span_work(registry: Registry) -> None:
    trace_events(registry)
    db = registry.get_or_create("db")
    trip(db)
    assert is_rejected(db)
    assert not trace.get_current_span().is_recording()


def test_span_events_can_be_stopped(registry: Registry, spans: Spans) -> None:
    stop = trace_events(registry)
    db = registry.get_or_create("db")
    stop()
    with spans.tracer.start_as_current_span("opens"):
        trip(db)
    assert spans.events() == []
