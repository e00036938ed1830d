"""What Prometheus sends to its Alertmanagers, read as alerts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incident_manager.domain.alert import Alert, AlertStatus
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.prometheus import parse_prometheus

NOW = datetime(2026, 11, 25, 13, 50, tzinfo=UTC)
EARLIER, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
Payload = Callable[[str], Any]


def parse(payload: object) -> list[Alert]:
    return parse_prometheus(payload, NOW, resolve_timeout=300)


def one(**fields: Any) -> Alert:
    [alert] = parse([{"labels": {"alertname": "Down"}, **fields}])
    return alert


def test_a_firing_alert_of_a_real_prometheus_is_read(payload: Payload) -> None:
    [alert] = parse(payload("prometheus-2.42-firing"))
    assert (alert.source, alert.status, alert.severity) == ("prometheus", AlertStatus.FIRING, Severity.P0)
    assert (alert.title, alert.description) == ("127.0.0.1:9100 is down", "It has been down, and its value is 0.")
    assert alert.starts_at == datetime(2026, 11, 25, 13, 49, 2, 632000, tzinfo=UTC)
    assert alert.ends_at == datetime(2026, 11, 25, 13, 53, 2, 632000, tzinfo=UTC)
    assert alert.labels["cluster"] == "test"
    assert alert.generator_url == "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1"


def test_a_resolved_alert_of_a_real_prometheus_belongs_to_its_firing_one(payload: Payload) -> None:
    [firing] = parse(payload("prometheus-2.42-firing"))
    [resolved] = parse(payload("prometheus-2.42-resolved"))
    assert resolved.status is AlertStatus.RESOLVED
    assert resolved.fingerprint == firing.fingerprint
    assert resolved.decided_at == datetime(2026, 11, 25, 13, 49, 5, 632000, tzinfo=UTC) > firing.decided_at


@pytest.mark.parametrize(
    ("ends_at", "status"),
    [
        (NOW + timedelta(milliseconds=1), AlertStatus.FIRING),
        (NOW, AlertStatus.RESOLVED),
        (NOW - timedelta(days=1), AlertStatus.RESOLVED),
    ],
)
def test_an_alert_fires_until_its_end(ends_at: datetime, status: AlertStatus) -> None:
    assert one(endsAt=ends_at.isoformat()).status is status


@pytest.mark.parametrize("fields", [{}, {"endsAt": None}, {"endsAt": "0001-01-01T00:00:00Z"}])
def test_an_alert_without_an_end_holds_for_the_resolve_timeout(fields: dict[str, Any]) -> None:
    alert = one(**fields)
    assert (alert.status, alert.ends_at) == (AlertStatus.FIRING, NOW + timedelta(seconds=300))


def test_an_alert_that_only_tells_its_end_began_no_later() -> None:
    alert = one(endsAt="2026-11-25T13:00:00Z")
    assert alert.starts_at == alert.ends_at == datetime(2026, 11, 25, 13, tzinfo=UTC)


def test_labels_without_a_value_are_no_part_of_the_identity() -> None:
    [plain, padded] = parse([{"labels": {"alertname": "Down"}}, {"labels": {"alertname": "Down", "job": ""}}])
    assert padded.labels == {"alertname": "Down"}
    assert padded.fingerprint == plain.fingerprint


def test_alerts_with_other_labels_are_other_troubles() -> None:
    first, second = parse([{"labels": {"alertname": "Down", "instance": name}} for name in "ab"])
    assert first.fingerprint != second.fingerprint


def test_numbers_and_booleans_in_labels_are_taken_as_text() -> None:
    alert = one(labels={"code": 500, "share": 0.5, "canary": True, "zone": None}, annotations={"summary": 7})
    assert alert.labels == {"code": "500", "share": "0.5", "canary": "true"}
    assert alert.title == "7"


def test_a_severity_of_the_users_own_making_counts_as_medium() -> None:
    alert = one(labels={"alertname": "Down", "severity": "sev1"})
    assert (alert.severity, alert.labels["severity"]) == (Severity.P2, "sev1")


def test_an_empty_array_is_no_mistake() -> None:
    assert parse([]) == []


@pytest.mark.parametrize(
    ("payload", "field", "rule"),
    [
        ({}, "body", "array"),
        ([1], "[0]", "object"),
        ([{}], "[0].labels", "required"),
        ([{"labels": {}}], "[0].labels", "at least one label"),
        ([{"labels": {"a": ""}}], "[0].labels", "at least one label"),
        ([{"labels": {"a": "b"}}, {"labels": {"a": ["b"]}}], "[1].labels.a", "string"),
        ([{"labels": {"a": "b"}, "endsAt": 1764000000}], "[0].endsAt", "RFC 3339"),
        ([{"labels": {"a": "b"}, "startsAt": LATER, "endsAt": EARLIER}], "[0].endsAt", "not be before"),
    ],
)
def test_what_is_no_such_array_is_refused_by_the_path(payload: Any, field: str, rule: str) -> None:
    with pytest.raises(InvalidAlertError) as caught:
        parse(payload)
    assert caught.value.field == field
    assert rule in caught.value.rule
