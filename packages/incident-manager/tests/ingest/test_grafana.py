"""What Grafana sends, read as alerts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incident_manager.domain.alert import Alert, AlertStatus
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.grafana import parse_grafana

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
Payload = Callable[[str], Any]


def parse(payload: object) -> list[Alert]:
    return parse_grafana(payload, NOW, test_timeout=300)


def test_every_alert_of_a_notification_is_read(payload: Payload) -> None:
    first, second = parse(payload("grafana-firing"))
    assert (first.source, first.status, first.severity) == ("grafana", AlertStatus.FIRING, Severity.P2)
    assert (first.title, first.description) == (
        "This alert was triggered for zone us-1",
        "The system has high memory usage",
    )
    assert first.starts_at == datetime(2021, 10, 12, 7, 51, 3, 157076, tzinfo=UTC)
    assert first.ends_at is None
    assert first.labels == {"alertname": "High memory usage", "team": "blue", "zone": "us-1"}
    assert first.generator_url == "https://play.grafana.org/alerting/1afz29v7z/edit"
    assert first.fingerprint != second.fingerprint


def test_values_and_links_are_kept_as_annotations(payload: Payload) -> None:
    [resolved] = parse(payload("grafana-resolved"))
    assert resolved.annotations["values"] == '{"B":44.23943737541908,"C":1}'
    assert resolved.annotations["valueString"] == "[ var='B' labels={zone=us-1} value=12.5 ]"
    assert resolved.annotations["silenceURL"].startswith("https://play.grafana.org/alerting/silence/new?")
    assert resolved.annotations["imageURL"] == "https://play.grafana.org/render/1.png"
    assert "dashboardURL" not in resolved.annotations


def test_the_end_of_an_alert_belongs_to_its_beginning(payload: Payload) -> None:
    firing, _ = parse(payload("grafana-firing"))
    [resolved] = parse(payload("grafana-resolved"))
    assert (resolved.status, resolved.fingerprint) == (AlertStatus.RESOLVED, firing.fingerprint)
    assert resolved.decided_at == datetime(2021, 10, 12, 8, 21, 3, 157076, tzinfo=UTC) > firing.decided_at


def test_alerts_of_different_organisations_are_different_troubles(payload: Payload) -> None:
    [first] = parse(payload("grafana-resolved"))
    [second] = parse({**payload("grafana-resolved"), "orgId": 2})
    assert first.fingerprint != second.fingerprint


def test_the_test_of_a_contact_point_is_mild_and_ends_by_itself(payload: Payload) -> None:
    [alert] = parse(payload("grafana-test"))
    assert (alert.title, alert.severity, alert.status) == ("Notification test", Severity.P4, AlertStatus.FIRING)
    assert alert.ends_at == NOW + timedelta(seconds=300)


def test_a_query_without_an_answer_is_named_after_its_rule(payload: Payload) -> None:
    no_data, failed = parse(payload("grafana-no-data-and-error"))
    assert no_data.title == "No data: High memory usage"
    assert failed.title == "Query failed: High CPU usage"
    assert failed.description.startswith("failed to execute query A")


def test_legacy_alerting_is_read_by_rule(payload: Payload) -> None:
    [firing] = parse(payload("grafana-legacy-alerting"))
    [resolved] = parse({**payload("grafana-legacy-alerting"), "state": "ok"})
    [silent] = parse({**payload("grafana-legacy-alerting"), "state": "no_data"})
    assert (firing.title, firing.description) == ("Panel Title alert", "Notification Message")
    assert (firing.status, resolved.status, silent.status) == (
        AlertStatus.FIRING,
        AlertStatus.RESOLVED,
        AlertStatus.FIRING,
    )
    assert firing.fingerprint == resolved.fingerprint == silent.fingerprint
    assert silent.title == "No data: Panel Title alert"
    assert firing.labels == {"tag name": "tag value"}
    assert firing.annotations["evalMatches"] == '[{"metric":"Count","tags":{},"value":1}]'


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ([], "body"),
        ({}, "alerts"),
        ({"alerts": [{"labels": {}}]}, "alerts[0].status"),
        ({"alerts": [{"status": "acknowledged"}]}, "alerts[0].status"),
        ({"alerts": [{"status": "firing", "labels": {"a": {"b": "c"}}}]}, "alerts[0].labels.a"),
        ({"alerts": [{"status": "firing", "startsAt": "soon"}]}, "alerts[0].startsAt"),
        ({"ruleId": 1, "state": "odd"}, "state"),
    ],
)
def test_what_is_no_such_notification_is_refused_by_the_path(payload: Any, field: str) -> None:
    with pytest.raises(InvalidAlertError) as caught:
        parse(payload)
    assert caught.value.field == field
