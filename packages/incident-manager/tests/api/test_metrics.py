"""The service's own metrics: what came in, what is owed to whom, and what was answered after how long."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from testing.live import LiveApp
from testing.receiver import Receiver
from testing.service import eventually

from incident_manager.app import METRICS_PREFIX, create_app
from incident_manager.settings import Settings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: httpx2.Client) -> Samples:
    page = client.get("/metrics").raise_for_status().text
    return {
        (sample.name.removeprefix(METRICS_PREFIX), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def read(client: httpx2.Client, name: str, **labels: str) -> float | None:
    """The value of one sample; None when there is none."""
    return scrape(client).get((name, frozenset(labels.items())))


def count(client: httpx2.Client, name: str, **labels: str) -> float:
    """The value of one sample; 0 when there is none."""
    return read(client, name, **labels) or 0.0


def report(client: httpx2.Client, title: str, **values: Any) -> None:
    client.post("/v1/alerts", json={"source": "test", "title": title, **values}).raise_for_status()


def open_circuit(client: httpx2.Client, name: str) -> None:
    client.post(f"/v1/circuit-breakers/{name}/open", json={"reason": "test"}).raise_for_status()


@pytest.fixture
def held(client: httpx2.Client) -> Iterator[None]:
    """Nothing goes to the destination `ops`; afterwards it has got everything."""
    open_circuit(client, "notify:ops")
    yield
    client.post("/v1/circuit-breakers/notify:ops/reset").raise_for_status()
    eventually(lambda: client.get("/health").json()["waiting_notifications"], lambda waiting: waiting == {})


def test_series_are_there_at_zero_before_the_first_event(tmp_path: Path) -> None:
    destination: Any = {"type": "webhook", "url": "https://hooks.example.test/x"}
    settings = Settings(data_dir=tmp_path, destinations={"ops": destination})
    with LiveApp(create_app(settings)) as app, app.client() as client:
        found = scrape(client)
    for name, labels in (
        ("alerts_total", {"action": "opened"}),
        ("alerts_total", {"action": "journaled"}),
        ("alerts_refused_total", {}),
        ("deliveries_total", {"destination": "ops", "outcome": "failed"}),
        ("outbox_waiting", {"destination": "ops"}),
        ("outbox_ready", {"destination": "ops"}),
        ("outbox_oldest_seconds", {"destination": "ops"}),
        ("delivery_problem", {"destination": "ops"}),
        ("open_incidents", {"severity": "P0"}),
        ("journal_entries", {}),
    ):
        assert found[name, frozenset(labels.items())] == 0, (name, labels)
    assert not [name for name, _ in found if name == "assessments_total"], "no service is set that would assess"


def test_alerts_are_counted_by_what_became_of_them(client: httpx2.Client) -> None:
    actions = ("opened", "updated", "resolved", "ignored")
    before = [count(client, "alerts_total", action=action) for action in actions]
    for status in ("firing", "firing", "firing", "resolved", "resolved"):
        report(client, "Counted", status=status)
    after = [count(client, "alerts_total", action=action) for action in actions]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 2, 1, 1]


def test_journaled_alerts_are_counted_when_they_are_taken(client: httpx2.Client, database_down: None) -> None:
    before = count(client, "alerts_total", action="journaled")
    report(client, "Journaled")
    assert count(client, "alerts_total", action="journaled") == before + 1
    assert count(client, "journal_entries") == 1


def test_open_incidents_are_counted_by_severity_until_they_end(client: httpx2.Client) -> None:
    before = count(client, "open_incidents", severity="P3")
    report(client, "Open for a while", severity="P3")
    assert count(client, "open_incidents", severity="P3") == before + 1
    report(client, "Open for a while", severity="P3", status="resolved")
    assert count(client, "open_incidents", severity="P3") == before


def test_outbox_ages_while_the_destination_gets_nothing(client: httpx2.Client, held: None) -> None:
    report(client, "Nobody hears of it")
    assert read(client, "outbox_waiting", destination="ops") == 1
    assert read(client, "outbox_ready", destination="ops") == 1
    age = eventually(
        lambda: count(client, "outbox_oldest_seconds", destination="ops"), lambda age: age > 0.2, timeout=5
    )
    assert age < 60


def test_deliveries_are_counted_by_how_they_ended(client: httpx2.Client, receiver: Receiver) -> None:
    def attempts(outcome: str) -> float:
        return count(client, "deliveries_total", destination="ops", outcome=outcome)

    delivered, retried, failed = attempts("delivered"), attempts("retried"), attempts("failed")
    report(client, "Delivered")
    eventually(lambda: attempts("delivered"), lambda now: now == delivered + 1)
    try:
        receiver.status = 400
        report(client, "Refused for good")
        eventually(lambda: attempts("failed"), lambda now: now == failed + 1)
        receiver.status = 503
        report(client, "Refused for now")
        eventually(lambda: attempts("retried"), lambda now: now == retried + 1)
    finally:
        receiver.status = 200
    eventually(lambda: attempts("delivered"), lambda now: now == delivered + 2)


def test_gauge_of_health_says_what_health_says(client: httpx2.Client) -> None:
    assert (client.get("/health").json()["status"], read(client, "healthy")) == ("healthy", 1)
    open_circuit(client, "notify:ops")
    assert (client.get("/health").json()["status"], read(client, "healthy")) == ("degraded", 0)


def test_what_only_the_database_knows_is_absent_while_it_cannot_be_asked(
    client: httpx2.Client, database_down: None
) -> None:
    found = {name for name, _ in scrape(client)}
    assert not found & {"open_incidents", "outbox_waiting", "outbox_ready", "outbox_oldest_seconds"}
    assert found >= {"healthy", "journal_entries", "delivery_problem", "circuit_breaker_state"}


def test_requests_are_told_by_route_so_that_callers_make_no_series(client: httpx2.Client) -> None:
    client.get("/v1/circuit-breakers/database").raise_for_status()
    assert client.get("/v1/circuit-breakers/nonsense").status_code == 404
    assert client.get("/no/such/path").status_code == 404
    assert client.request("PROPFIND", "/v1/alerts").status_code == 405
    labels = [dict(labels) for name, labels in scrape(client) if name == "http_request_duration_seconds_count"]
    for wanted in (
        {"method": "GET", "route": "/v1/circuit-breakers/{name}", "status": "200"},
        {"method": "GET", "route": "/v1/circuit-breakers/{name}", "status": "404"},
        {"method": "GET", "route": "", "status": "404"},
    ):
        assert wanted in labels
    assert {one["method"] for one in labels} <= {"GET", "POST", "other"}
    assert not [one for one in labels if "nonsense" in one["route"] or "such" in one["route"]]


def test_stream_counts_when_it_begins_and_not_when_it_ends(client: httpx2.Client) -> None:
    def streams() -> float:
        labels = {"method": "GET", "route": "/v1/stream", "status": "200"}
        return count(client, "http_request_duration_seconds_count", **labels)

    before = streams()
    with client.stream("GET", "/v1/stream") as stream:
        assert stream.status_code == 200
        assert streams() == before + 1
    assert streams() == before + 1
