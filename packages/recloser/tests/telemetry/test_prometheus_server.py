"""A real Prometheus scrapes a real endpoint: the queries and alerts that users write give the right numbers."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from packages.recloser.tests.support import fail, is_rejected, settings, succeed, trip
from prometheus_client import CollectorRegistry, start_http_server
from testing.servers import Prometheus, free_port

from recloser import Registry
from recloser.telemetry.prometheus import BreakerCollector

RULES = """
groups:
  - name: breakers
    rules:
      - alert: CircuitNotClosed
        expr: recloser_circuit_breaker_state != 0
        for: 1s
      - alert: CircuitHeldByOperator
        expr: recloser_circuit_breaker_control{control!="automatic"} == 1
"""


@pytest.fixture
def registry() -> Registry:
    return Registry(settings(open_for=3_600))


@pytest.fixture
def prometheus(registry: Registry, prometheus_program: None) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the breakers of `registry` four times a second."""
    joined = CollectorRegistry()
    BreakerCollector(registry, register=joined)
    port = free_port()
    endpoint, thread = start_http_server(port, "127.0.0.1", joined)
    try:
        with Prometheus.scraping(f"127.0.0.1:{port}", rules=RULES) as server:
            yield server
    finally:
        endpoint.shutdown()
        endpoint.server_close()
        thread.join()


def test_increase_and_rate_count_the_calls(registry: Registry, prometheus: Prometheus) -> None:
    db = registry.get_or_create("db")
    prometheus.wait_for('recloser_circuit_breaker_calls_total{status="success"}', 0)
    succeed(db, 30)
    fail(db, 2)
    prometheus.wait_for('recloser_circuit_breaker_calls_total{status="success"}', 30)
    # `increase` estimates up to the edges of its range; over the whole of a short life that is a little more.
    prometheus.wait_for('increase(recloser_circuit_breaker_calls_total{status="success"}[1m])', 30, within=15)
    prometheus.wait_for(
        "sum(rate(recloser_circuit_breaker_failed_calls_total[1m]))"
        ' / sum(rate(recloser_circuit_breaker_calls_total{status=~"success|failure"}[1m]))',
        2 / 32,
        within=0.001,
    )


def test_time_in_all_states_together_is_one_second_a_second(registry: Registry, prometheus: Prometheus) -> None:
    db = registry.get_or_create("db")
    prometheus.wait_for("sum(rate(recloser_circuit_breaker_state_seconds_total[5s]))", 1, within=0.02)
    trip(db)
    share = (
        'sum(rate(recloser_circuit_breaker_state_seconds_total{state="open"}[2s]))'
        " / sum(rate(recloser_circuit_breaker_state_seconds_total[2s]))"
    )
    prometheus.wait_for(share, 1, within=0.001)
    prometheus.wait_for('resets(recloser_circuit_breaker_state_seconds_total{state="closed"}[1m])', 0)


def test_time_that_remains_is_the_deadline_less_the_time(registry: Registry, prometheus: Prometheus) -> None:
    db = registry.get_or_create("db")
    remaining = "clamp_min(recloser_circuit_breaker_open_until_timestamp_seconds - time(), 0)"
    prometheus.wait_for(remaining, 0)
    trip(db)
    prometheus.wait_for(remaining, 3_600, within=30)
    db.reset()
    prometheus.wait_for(remaining, 0)


def test_latency_quantiles(registry: Registry, prometheus: Prometheus) -> None:
    db = registry.get_or_create("db")
    prometheus.wait_for("recloser_circuit_breaker_call_duration_seconds_count", 0)
    succeed(db, 50)
    prometheus.wait_for("recloser_circuit_breaker_call_duration_seconds_count", 50)
    quantile = "histogram_quantile(0.5, sum by (le) (rate(recloser_circuit_breaker_call_duration_seconds_bucket[1m])))"
    prometheus.wait_for(quantile, 0.0005, within=0.0005)


def test_alert_fires_while_a_circuit_stays_open_and_ends_when_it_closes(
    registry: Registry, prometheus: Prometheus
) -> None:
    db = registry.get_or_create("db")
    registry.get_or_create("fine")
    trip(db)
    prometheus.wait_for('ALERTS{alertname="CircuitNotClosed", alertstate="firing", name="db"}', 1)
    assert prometheus.query('ALERTS{alertname="CircuitNotClosed", name="fine"}') == []
    db.reset()
    prometheus.wait_until_absent('ALERTS{alertname="CircuitNotClosed"}')


def test_alert_on_an_operator_s_hold(registry: Registry, prometheus: Prometheus) -> None:
    registry.get_or_create("db").disable("during the migration")
    prometheus.wait_for('ALERTS{alertname="CircuitHeldByOperator", name="db", control="disabled"}', 1)


def test_series_of_a_removed_breaker_end_at_the_next_scrape(registry: Registry, prometheus: Prometheus) -> None:
    trip(registry.get_or_create("db"))
    prometheus.wait_for("recloser_circuit_breaker_state", 1)
    registry.remove("db")
    prometheus.wait_until_absent('{__name__=~"recloser_circuit_breaker_.+", name="db"}')


def test_eviction_is_no_step_back_of_the_sum_with_the_evicted(registry: Registry, prometheus: Prometheus) -> None:
    hosts = registry.keyed("host", max_breakers=5)
    everything = (
        'sum(recloser_circuit_breaker_calls_total{name=~"host:.*"})'
        ' + sum(recloser_circuit_breaker_evicted_calls_total{collection="host"} or vector(0))'
    )
    for key in range(20):
        succeed(hosts[key], 3)
    prometheus.wait_for(everything, 60)
    prometheus.wait_for('recloser_circuit_breaker_evictions_total{collection="host"}', 15)
    for key in range(20, 40):
        succeed(hosts[key], 3)
    prometheus.wait_for(everything, 120)


def test_counters_hold_while_threads_call_and_prometheus_scrapes(registry: Registry, prometheus: Prometheus) -> None:
    db = registry.get_or_create("db")
    calls = [0] * 4

    def work(number: int, until: float) -> None:
        while time.monotonic() < until:
            succeed(db)
            calls[number] += 1

    in_threads(work)
    prometheus.wait_for("recloser_circuit_breaker_successful_calls_total", sum(calls))
    trip(db)
    assert is_rejected(db)
    prometheus.wait_for("recloser_circuit_breaker_rejected_calls_total", 1)
    assert prometheus.value("sum(resets({__name__='recloser_circuit_breaker_calls_total'}[1m]))") == 0


def in_threads(work: Callable[[int, float], None]) -> None:
    """Run `work(number, until)` in four threads for a second."""
    until = time.monotonic() + 1
    threads = [threading.Thread(target=work, args=(number, until)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
