"""Health and metrics. An open circuit never makes the service look dead."""

import httpx2
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

PREFIX = "llm_incident_manager_circuit_breaker_"


def metrics(client: httpx2.Client) -> dict[str, Metric]:
    answer = client.get("/metrics").raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(families: dict[str, Metric], sample_name: str, **labels: str) -> float:
    samples = [sample for family in families.values() for sample in family.samples]
    [found] = [sample.value for sample in samples if sample.name == PREFIX + sample_name and sample.labels == labels]
    return found


def test_live_and_ready(client: httpx2.Client) -> None:
    assert client.get("/health/live").raise_for_status().json() == {"status": "alive"}
    assert client.get("/health/ready").raise_for_status().json() == {"status": "ready", "database": "open"}


def test_health_counts_the_circuit_breakers(client: httpx2.Client) -> None:
    found = client.get("/health").raise_for_status().json()
    assert found["status"] == "healthy"
    assert found["circuit_breakers"] == {"total": 2, "closed": 2, "open": 0, "half_open": 0, "healthy": True}
    assert found["version"]
    assert found["delivery_problems"] == {}


def test_open_circuit_degrades_health_but_the_service_stays_alive_and_ready(
    client: httpx2.Client, database_down: None
) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["circuit_breakers"] == {
        "total": 2,
        "closed": 1,
        "open": 1,
        "half_open": 0,
        "healthy": False,
    }
    assert answer.json()["waiting_notifications"] is None
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200


def test_waiting_notifications_are_counted_by_destination(client: httpx2.Client) -> None:
    client.post("/v1/circuit-breakers/notify:ops/open", json={"reason": "test"}).raise_for_status()
    client.post("/v1/incidents", json={"title": "Nobody hears of it yet", "severity": "P1"}).raise_for_status()
    assert client.get("/health").json()["waiting_notifications"] == {"ops": 1}


def test_the_seven_metrics_are_there_for_every_breaker(client: httpx2.Client) -> None:
    families = metrics(client)
    assert families.keys() >= {
        PREFIX + name
        for name in (
            "state",
            "calls",
            "successful_calls",
            "failed_calls",
            "rejected_calls",
            "call_duration_seconds",
            "state_transitions",
        )
    }
    for name, family in families.items():
        if name.startswith(PREFIX) and family.samples:  # ratios, for one, come when there are enough calls
            assert {sample.labels["name"] for sample in family.samples} == {"database", "notify:ops"}


def test_metrics_agree_with_the_state(client: httpx2.Client) -> None:
    assert value(metrics(client), "state", name="database") == 0
    before = value(metrics(client), "rejected_calls_total", name="database")
    client.post("/v1/circuit-breakers/database/open", json={"reason": "test"}).raise_for_status()
    assert client.get("/v1/incidents").status_code == 503
    families = metrics(client)
    assert value(families, "state", name="database") == 1
    rejected = value(families, "rejected_calls_total", name="database")
    assert rejected > before
    assert value(families, "calls_total", name="database", status="rejected") == rejected
