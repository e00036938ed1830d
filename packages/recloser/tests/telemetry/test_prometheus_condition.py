"""What the Prometheus collector shows of the present: deadlines, calls in flight, control, ratios, thresholds, time."""

import math
import subprocess

import pytest
from packages.recloser.tests.support import fail, is_rejected, rates, reach_probing, settings, succeed, trip
from packages.recloser.tests.telemetry.scraping import Samples, labels_of, scrape, value
from prometheus_client import CollectorRegistry, generate_latest

from recloser import Exponential, Registry
from recloser.telemetry.prometheus import BreakerCollector
from recloser.testing import FakeClock


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(settings(), clock=clock)


@pytest.fixture
def prometheus(registry: Registry) -> CollectorRegistry:
    joined = CollectorRegistry()
    BreakerCollector(registry, register=joined)
    return joined


def seconds(samples: Samples, name: str) -> dict[str, float]:
    return {
        labels["state"]: value(samples, "state_seconds_total", **labels)
        for labels in labels_of(samples, "state_seconds_total")
        if labels["name"] == name
    }


def test_time_in_each_state_is_counted_up_to_the_scrape(
    registry: Registry, prometheus: CollectorRegistry, clock: FakeClock
) -> None:
    db = registry.get_or_create("db")
    clock.advance(5)
    assert seconds(scrape(prometheus), "db") == {"closed": 5, "open": 0, "half_open": 0}
    trip(db)
    clock.advance(12)
    assert seconds(scrape(prometheus), "db") == {"closed": 5, "open": 12, "half_open": 0}
    probe = db.acquire()
    clock.advance(3)
    assert seconds(scrape(prometheus), "db") == {"closed": 5, "open": 12, "half_open": 3}
    probe.success()
    clock.advance(1)
    assert seconds(scrape(prometheus), "db") == {"closed": 6, "open": 12, "half_open": 3}


def test_half_open_period_that_ran_out_unseen_is_counted_to_its_end(
    registry: Registry, prometheus: CollectorRegistry, clock: FakeClock
) -> None:
    db = registry.get_or_create("db", settings(half_open_timeout=20))
    reach_probing(db, clock)
    probe = db.acquire()
    clock.advance(50)
    assert seconds(scrape(prometheus), "db") == {"closed": 0, "open": 10 + 30, "half_open": 20}
    probe.ignore()


def test_reset_keeps_the_time_that_was_counted(
    registry: Registry, prometheus: CollectorRegistry, clock: FakeClock
) -> None:
    db = registry.get_or_create("db")
    trip(db)
    clock.advance(4)
    db.reset()
    clock.advance(1)
    assert seconds(scrape(prometheus), "db") == {"closed": 1, "open": 4, "half_open": 0}


def test_deadline_is_the_time_from_which_a_probe_may_come(
    registry: Registry, prometheus: CollectorRegistry, clock: FakeClock
) -> None:
    db = registry.get_or_create("db")
    assert value(scrape(prometheus), "open_until_timestamp_seconds", name="db") == 0
    trip(db)
    deadline = clock.time() + 10
    for _ in range(3):
        assert value(scrape(prometheus), "open_until_timestamp_seconds", name="db") == deadline
        clock.advance(7)
    probe = db.acquire()
    assert value(scrape(prometheus), "open_until_timestamp_seconds", name="db") == 0
    probe.failure()
    assert value(scrape(prometheus), "open_until_timestamp_seconds", name="db") == clock.time() + 10


def test_deadline_is_infinite_while_an_operator_holds_the_circuit_open(
    registry: Registry, prometheus: CollectorRegistry
) -> None:
    registry.get_or_create("db").force_open("maintenance")
    assert value(scrape(prometheus), "open_until_timestamp_seconds", name="db") == math.inf


def test_deadline_beyond_the_calendar_is_its_last_day(registry: Registry, prometheus: CollectorRegistry) -> None:
    db = registry.get_or_create("db", settings(open_for=1e15, recovery=Exponential(max_open=1e15)))
    trip(db)
    assert value(scrape(prometheus), "open_until_timestamp_seconds", name="db") == 253_402_214_400
    assert db.stats().open_until is not None


def test_calls_and_probes_in_flight(registry: Registry, prometheus: CollectorRegistry, clock: FakeClock) -> None:
    db = registry.get_or_create("db", settings(half_open_max_calls=2, success_threshold=2))
    permits = [db.acquire() for _ in range(3)]
    samples = scrape(prometheus)
    assert (value(samples, "in_flight_calls", name="db"), value(samples, "in_flight_probes", name="db")) == (3, 0)
    trip(db)
    clock.advance(10)
    probes = [db.acquire(), db.acquire()]
    samples = scrape(prometheus)
    assert (value(samples, "in_flight_calls", name="db"), value(samples, "in_flight_probes", name="db")) == (5, 2)
    for permit in (*permits, *probes):
        permit.success()
    samples = scrape(prometheus)
    assert (value(samples, "in_flight_calls", name="db"), value(samples, "in_flight_probes", name="db")) == (0, 0)


def test_control_in_force_is_one_and_the_others_are_zero(registry: Registry, prometheus: CollectorRegistry) -> None:
    db = registry.get_or_create("db")
    orders = {
        "automatic": db.automatic,
        "forced_open": db.force_open,
        "forced_closed": db.force_closed,
        "disabled": db.disable,
        "observe_only": db.observe_only,
    }
    for control, order in orders.items():
        order("because")
        samples = scrape(prometheus)
        shown = {labels["control"]: value(samples, "control", **labels) for labels in labels_of(samples, "control")}
        assert shown == {name: float(name == control) for name in orders}


def test_ratios_appear_when_the_window_holds_enough_calls(
    registry: Registry, prometheus: CollectorRegistry, clock: FakeClock
) -> None:
    db = registry.get_or_create("db", rates(failure_rate_threshold=0.9, minimum_calls=4, slow_call_duration=1.0))
    succeed(db, 2)
    fail(db)
    samples = scrape(prometheus)
    assert not list(labels_of(samples, "failure_ratio"))
    assert value(samples, "window_calls", name="db") == 3
    db.call(clock.advance, 2)
    samples = scrape(prometheus)
    assert value(samples, "window_calls", name="db") == 4
    assert value(samples, "failure_ratio", name="db") == 0.25
    assert value(samples, "slow_call_ratio", name="db") == 0.25


def test_failures_in_a_row(registry: Registry, prometheus: CollectorRegistry) -> None:
    db = registry.get_or_create("db")
    fail(db, 2)
    assert value(scrape(prometheus), "consecutive_failures", name="db") == 2


THRESHOLDS = {
    "failure_threshold",
    "failure_ratio_threshold",
    "slow_call_ratio_threshold",
    "slow_call_duration_threshold_seconds",
    "minimum_calls",
}


def test_thresholds_that_are_set_are_shown(registry: Registry, prometheus: CollectorRegistry) -> None:
    db = registry.get_or_create("db", rates(failure_rate_threshold=0.25, slow_call_duration=2.5))
    samples = scrape(prometheus)
    shown = {metric: value(samples, metric, name="db") for metric in THRESHOLDS if list(labels_of(samples, metric))}
    assert shown == {
        "failure_ratio_threshold": 0.25,
        "slow_call_duration_threshold_seconds": 2.5,
        "minimum_calls": 2,
    }
    db.reconfigure(db.settings.replace(failure_rate_threshold=0.5))
    assert value(scrape(prometheus), "failure_ratio_threshold", name="db") == 0.5


def test_thresholds_can_be_left_out(registry: Registry) -> None:
    joined = CollectorRegistry()
    BreakerCollector(registry, register=joined, thresholds=False)
    registry.get_or_create("db")
    assert not {name.removeprefix("recloser_circuit_breaker_") for name, _ in scrape(joined)} & THRESHOLDS


def test_rejections_are_counted_by_reason(registry: Registry, prometheus: CollectorRegistry, clock: FakeClock) -> None:
    db = registry.get_or_create("db")
    samples = scrape(prometheus)
    assert {labels["reason"] for labels in labels_of(samples, "rejections_total")} == {
        "open",
        "half_open_full",
        "forced_open",
    }
    trip(db)
    is_rejected(db)
    is_rejected(db)
    clock.advance(10)
    probe = db.acquire()
    is_rejected(db)
    probe.success()
    samples = scrape(prometheus)
    assert value(samples, "rejections_total", name="db", reason="open") == 2
    assert value(samples, "rejections_total", name="db", reason="half_open_full") == 1
    assert value(samples, "rejected_calls_total", name="db") == 3


def test_what_shadow_mode_would_have_rejected_is_counted_apart(
    registry: Registry, prometheus: CollectorRegistry
) -> None:
    db = registry.get_or_create("db")
    db.observe_only("trying it out")
    trip(db)
    succeed(db, 2)
    samples = scrape(prometheus)
    assert value(samples, "observed_rejections_total", name="db") == 2
    assert value(samples, "rejected_calls_total", name="db") == 0


def test_calls_of_evicted_breakers_stay_in_the_sum(registry: Registry, prometheus: CollectorRegistry) -> None:
    hosts = registry.keyed("host", max_breakers=2)
    samples = scrape(prometheus)
    assert value(samples, "evictions_total", collection="host") == 0
    for number in range(10):
        succeed(hosts[number], number + 1)
    samples = scrape(prometheus)
    assert {labels["name"] for labels in labels_of(samples, "successful_calls_total")} == {"host:8", "host:9"}
    assert value(samples, "evictions_total", collection="host") == 8
    shown = sum(value(samples, "successful_calls_total", name=f"host:{number}") for number in (8, 9))
    assert shown + value(samples, "evicted_calls_total", collection="host", status="success") == sum(range(11))


def test_calls_of_retired_breakers_stay_in_the_sum(
    registry: Registry, prometheus: CollectorRegistry, clock: FakeClock
) -> None:
    hosts = registry.keyed("host", retire_after=60.0)
    trip(hosts["a"])
    is_rejected(hosts["a"])
    clock.advance(61)
    hosts["b"]
    samples = scrape(prometheus)
    assert value(samples, "evicted_calls_total", collection="host", status="failure") == 3
    assert value(samples, "evicted_calls_total", collection="host", status="rejected") == 1


def test_names_and_helps_are_what_promtool_asks_for(
    registry: Registry, prometheus: CollectorRegistry, promtool: str
) -> None:
    trip(registry.keyed("host", settings(slow_call_duration=1.0), max_breakers=1)["a"])
    page = generate_latest(prometheus)
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
