"""The Prometheus collector, read back by Prometheus' own parser of its text format."""

import pytest
from packages.recloser.tests.support import fail, is_rejected, settings, succeed, trip
from packages.recloser.tests.telemetry.scraping import labels_of, scrape, value
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from recloser import Registry, State
from recloser.telemetry.prometheus import BreakerCollector
from recloser.testing import FakeClock

STATUSES = {"success", "slow", "failure", "ignored", "throttled", "configuration", "released", "expired", "rejected"}


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(settings(), clock=clock)


@pytest.fixture
def prometheus(registry: Registry) -> CollectorRegistry:
    """A Prometheus registry with the breakers of `registry`."""
    joined = CollectorRegistry()
    BreakerCollector(registry, register=joined)
    return joined


def test_state_is_a_number(registry: Registry, prometheus: CollectorRegistry, clock: FakeClock) -> None:
    db, api = registry.get_or_create("db"), registry.get_or_create("api")
    trip(db)
    samples = scrape(prometheus)
    assert (value(samples, "state", name="db"), value(samples, "state", name="api")) == (1, 0)
    clock.advance(10)
    probe = db.acquire()
    assert value(scrape(prometheus), "state", name="db") == 2
    probe.success()
    assert value(scrape(prometheus), "state", name="db") == 0
    assert api.state is State.CLOSED


def test_new_breaker_has_all_its_series(registry: Registry, prometheus: CollectorRegistry) -> None:
    registry.get_or_create("db")
    samples = scrape(prometheus)
    assert {labels["status"] for labels in labels_of(samples, "calls_total")} == STATUSES
    assert {(labels["from_state"], labels["to_state"]) for labels in labels_of(samples, "state_transitions_total")} == {
        ("closed", "open"),
        ("open", "half_open"),
        ("open", "closed"),
        ("half_open", "open"),
        ("half_open", "closed"),
    }
    for name in ("successful_calls_total", "failed_calls_total", "rejected_calls_total"):
        assert value(samples, name, name="db") == 0
    assert value(samples, "call_duration_seconds_count", name="db") == 0


def test_calls_are_counted_by_how_they_ended(registry: Registry, prometheus: CollectorRegistry) -> None:
    db = registry.get_or_create("db")
    succeed(db, 5)
    db.acquire().ignore()
    trip(db)
    assert [is_rejected(db) for _ in range(4)] == [True] * 4
    samples = scrape(prometheus)
    counted = {
        labels["status"]: value(samples, "calls_total", **labels) for labels in labels_of(samples, "calls_total")
    }
    assert {status: count for status, count in counted.items() if count} == {
        "success": 5,
        "ignored": 1,
        "failure": 3,
        "rejected": 4,
    }
    assert value(samples, "successful_calls_total", name="db") == 5
    assert value(samples, "failed_calls_total", name="db") == 3
    assert value(samples, "rejected_calls_total", name="db") == 4


def test_slow_calls_are_successful_ones(registry: Registry, prometheus: CollectorRegistry, clock: FakeClock) -> None:
    db = registry.get_or_create("db", settings(slow_call_duration=1.0))
    db.call(clock.advance, 2)
    samples = scrape(prometheus)
    assert value(samples, "calls_total", name="db", status="slow") == 1
    assert value(samples, "successful_calls_total", name="db") == 1


def test_durations_are_a_histogram(registry: Registry, prometheus: CollectorRegistry, clock: FakeClock) -> None:
    db = registry.get_or_create("db")
    for seconds in (0.25, 0.25, 4, 120):
        db.call(clock.advance, seconds)
    samples = scrape(prometheus)
    buckets = {
        float(labels["le"]): value(samples, "call_duration_seconds_bucket", **labels)
        for labels in labels_of(samples, "call_duration_seconds_bucket")
    }
    assert min(buckets) == 0.001
    assert max(bound for bound in buckets if bound != float("inf")) == 60
    assert list(buckets.values()) == sorted(buckets.values())
    assert (buckets[0.1], buckets[0.5], buckets[5.0], buckets[60.0], buckets[float("inf")]) == (0, 2, 3, 3, 4)
    assert value(samples, "call_duration_seconds_count", name="db") == 4
    assert value(samples, "call_duration_seconds_sum", name="db") == 124.5


def test_rejections_and_ignored_calls_have_no_duration(registry: Registry, prometheus: CollectorRegistry) -> None:
    db = registry.get_or_create("db")
    db.acquire().ignore()
    trip(db)
    is_rejected(db)
    assert value(scrape(prometheus), "call_duration_seconds_count", name="db") == 3


def test_changes_of_state_are_counted(registry: Registry, prometheus: CollectorRegistry, clock: FakeClock) -> None:
    db = registry.get_or_create("db")
    trip(db)
    clock.advance(10)
    fail(db)
    clock.advance(10)
    succeed(db)
    samples = scrape(prometheus)
    counted = {
        (labels["from_state"], labels["to_state"]): value(samples, "state_transitions_total", **labels)
        for labels in labels_of(samples, "state_transitions_total")
    }
    assert counted == {
        ("closed", "open"): 1,
        ("open", "half_open"): 2,
        ("half_open", "open"): 1,
        ("half_open", "closed"): 1,
        ("open", "closed"): 0,
    }


def test_every_change_that_happens_has_a_series(
    registry: Registry, prometheus: CollectorRegistry, clock: FakeClock
) -> None:
    """The operator's, too."""
    db = registry.get_or_create("db")
    db.force_open("a")
    db.force_closed("b")
    db.reset()
    trip(db)
    clock.advance(10)
    succeed(db)
    samples = scrape(prometheus)
    changes = labels_of(samples, "state_transitions_total")
    total = sum(value(samples, "state_transitions_total", **labels) for labels in changes)
    assert total == sum(db.stats().transitions.values()) == 5


def test_forgotten_breaker_leaves_no_series(registry: Registry, prometheus: CollectorRegistry) -> None:
    registry.get_or_create("db")
    registry.remove("db")
    assert scrape(prometheus) == {}


def test_breaker_in_the_place_of_another_is_seen(registry: Registry, prometheus: CollectorRegistry) -> None:
    registry.get_or_create("db")
    registry.remove("db")
    succeed(registry.get_or_create("db"), 2)
    assert value(scrape(prometheus), "successful_calls_total", name="db") == 2


def test_prefix_is_the_user_s(registry: Registry) -> None:
    joined = CollectorRegistry()
    BreakerCollector(registry, "llm_incident_manager_", register=joined)
    registry.get_or_create("db")
    names = {name for name, _ in scrape(joined)}
    assert all(name.startswith("llm_incident_manager_circuit_breaker_") for name in names)
    assert names >= {
        "llm_incident_manager_circuit_breaker_state",
        "llm_incident_manager_circuit_breaker_calls_total",
        "llm_incident_manager_circuit_breaker_successful_calls_total",
        "llm_incident_manager_circuit_breaker_failed_calls_total",
        "llm_incident_manager_circuit_breaker_rejected_calls_total",
        "llm_incident_manager_circuit_breaker_call_duration_seconds_bucket",
        "llm_incident_manager_circuit_breaker_call_duration_seconds_count",
        "llm_incident_manager_circuit_breaker_call_duration_seconds_sum",
        "llm_incident_manager_circuit_breaker_state_transitions_total",
    }


def test_any_name_can_be_a_label(registry: Registry, prometheus: CollectorRegistry) -> None:
    name = 'host:"a\\b"\n{c="d"}, ü'
    registry.get_or_create(name)
    assert value(scrape(prometheus), "state", name=name) == 0


def test_two_collectors_with_prefixes_of_their_own_share_a_registry(registry: Registry) -> None:
    joined = CollectorRegistry()
    BreakerCollector(registry, "a_", register=joined)
    BreakerCollector(registry, "b_", register=joined)
    with pytest.raises(ValueError, match="Duplicated"):
        BreakerCollector(registry, "a_", register=joined)


def test_registering_is_optional(registry: Registry) -> None:
    collector = BreakerCollector(registry, register=None)
    registry.get_or_create("db")
    assert {metric.name for metric in collector.collect()} == {metric.name for metric in collector.describe()}


def test_openmetrics_is_valid_too(registry: Registry, prometheus: CollectorRegistry) -> None:
    succeed(registry.get_or_create("db"), 3)
    families = {family.name: family for family in parse_openmetrics(generate_openmetrics(prometheus).decode())}
    [sample] = families["recloser_circuit_breaker_successful_calls"].samples
    assert (sample.labels, sample.value) == ({"name": "db"}, 3)


def test_help_is_given_for_every_metric(registry: Registry, prometheus: CollectorRegistry) -> None:
    registry.get_or_create("db")
    assert all(family.documentation for family in parse(generate_latest(prometheus).decode()))


def test_scrape_changes_nothing(registry: Registry, prometheus: CollectorRegistry, clock: FakeClock) -> None:
    db = registry.get_or_create("db")
    trip(db)
    clock.advance(10)
    for _ in range(20):
        scrape(prometheus)
    assert db.state is State.OPEN
    succeed(db)
    assert db.state is State.CLOSED
