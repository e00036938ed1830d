"""What Alertmanager sends, read as alerts."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from incident_manager.domain.alert import AlertStatus
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.alertmanager import parse_alertmanager

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

#: As Alertmanager 0.28 sends it.
NOTIFICATION: dict[str, Any] = {
    "receiver": "incident-manager",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "InstanceDown", "instance": "a:9100", "job": "node", "severity": "critical"},
            "annotations": {"description": "a:9100 has been down for 5 minutes.", "summary": "a:9100 down"},
            "startsAt": "2026-01-01T11:55:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0",
            "fingerprint": "9ccc1e1f8b7a4f3c",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "InstanceDown", "instance": "b:9100", "job": "node", "severity": "critical"},
            "annotations": {},
            "startsAt": "2026-01-01T11:00:00Z",
            "endsAt": "2026-01-01T11:50:00Z",
            "generatorURL": "",
            "fingerprint": "1234567890abcdef",
        },
    ],
    "groupLabels": {"alertname": "InstanceDown"},
    "commonLabels": {"alertname": "InstanceDown", "job": "node", "severity": "critical"},
    "commonAnnotations": {"dashboard": "http://grafana/d/1"},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="InstanceDown"}',
    "truncatedAlerts": 0,
}


def notification(**fields: Any) -> dict[str, Any]:
    """The notification with its first alert alone, changed; None takes a field away."""
    payload = copy.deepcopy(NOTIFICATION)
    first = {name: value for name, value in {**payload["alerts"][0], **fields}.items() if value is not None}
    return {**payload, "alerts": [first]}


def test_firing_and_resolved_alerts_of_a_real_notification_are_read() -> None:
    firing, resolved = parse_alertmanager(NOTIFICATION, NOW)
    assert (firing.source, firing.status, firing.severity) == ("alertmanager", AlertStatus.FIRING, Severity.P0)
    assert (firing.title, firing.description) == ("a:9100 down", "a:9100 has been down for 5 minutes.")
    assert firing.starts_at == datetime(2026, 1, 1, 11, 55, 0, 123456, tzinfo=UTC)
    assert (firing.ends_at, firing.dedup_key) == (None, "9ccc1e1f8b7a4f3c")
    assert firing.generator_url == "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0"
    assert (resolved.status, resolved.title) == (AlertStatus.RESOLVED, "InstanceDown")
    assert resolved.ends_at == datetime(2026, 1, 1, 11, 50, tzinfo=UTC)
    assert resolved.generator_url is None


def test_common_labels_and_annotations_are_merged_and_the_own_ones_win() -> None:
    payload = notification(labels={"alertname": "X", "instance": "a"}, annotations={"summary": "s"})
    payload["commonLabels"] = {"alertname": "Common", "team": "core"}
    [alert] = parse_alertmanager(payload, NOW)
    assert alert.labels == {"alertname": "X", "instance": "a", "team": "core"}
    assert alert.annotations == {"summary": "s", "dashboard": "http://grafana/d/1"}


def test_the_fingerprint_of_the_sender_is_the_identity() -> None:
    [first] = parse_alertmanager(notification(labels={"alertname": "X"}), NOW)
    [second] = parse_alertmanager(notification(labels={"alertname": "Y"}), NOW)
    [third] = parse_alertmanager(notification(fingerprint="other"), NOW)
    assert first.fingerprint == second.fingerprint != third.fingerprint


def test_without_a_fingerprint_the_labels_are_the_identity() -> None:
    [first] = parse_alertmanager(notification(fingerprint=None), NOW)
    [second] = parse_alertmanager(notification(fingerprint="", annotations={}), NOW)
    [third] = parse_alertmanager(notification(fingerprint="", labels={"alertname": "InstanceDown"}), NOW)
    assert first.fingerprint == second.fingerprint != third.fingerprint


@pytest.mark.parametrize(
    ("labels", "annotations", "title"),
    [
        ({"alertname": "Down"}, {"summary": "a is down", "title": "t"}, "a is down"),
        ({"alertname": "Down"}, {"summary": " ", "title": "t"}, "t"),
        ({"alertname": "Down"}, {}, "Down"),
        ({}, {"summary": "x" * 600}, "x" * 499 + "…"),
    ],
)
def test_the_title_is_the_summary_or_else_the_name(
    labels: dict[str, str], annotations: dict[str, str], title: str
) -> None:
    [alert] = parse_alertmanager(notification(labels=labels, annotations=annotations), NOW)
    assert alert.title == title


def test_an_alert_without_any_name_still_counts() -> None:
    payload = notification(labels={}, annotations={})
    payload["commonLabels"] = {}
    [alert] = parse_alertmanager(payload, NOW)
    assert alert.title == "Alert without a name"


def test_severity_comes_from_its_label_and_is_medium_without_one() -> None:
    [labelled] = parse_alertmanager(notification(labels={"severity": "warning"}), NOW)
    payload = notification(labels={"alertname": "X"})
    payload["commonLabels"] = {}
    [bare] = parse_alertmanager(payload, NOW)
    assert (labelled.severity, bare.severity) == (Severity.P2, Severity.P2)


def test_an_unknown_severity_is_refused_by_its_path() -> None:
    with pytest.raises(InvalidAlertError, match="'sev1' is not a severity") as caught:
        parse_alertmanager(notification(labels={"severity": "sev1"}), NOW)
    assert caught.value.field == "alerts[0].labels.severity"


def test_an_unknown_severity_is_taken_as_the_one_asked_for() -> None:
    [alert] = parse_alertmanager(notification(labels={"severity": "sev1"}), NOW, unknown_severity=Severity.P1)
    assert alert.severity is Severity.P1


def test_a_link_that_is_not_http_is_left_out() -> None:
    [alert] = parse_alertmanager(notification(generatorURL="javascript:alert(1)"), NOW)
    assert alert.generator_url is None


def test_fields_of_later_versions_are_ignored() -> None:
    payload = {**notification(newThing=1), "notificationReason": "new"}
    assert len(parse_alertmanager(payload, NOW)) == 1


def test_a_notification_without_alerts_is_no_mistake() -> None:
    assert parse_alertmanager({**NOTIFICATION, "alerts": []}, NOW) == []


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ([], "body"),
        ({}, "alerts"),
        ({**NOTIFICATION, "version": "5"}, "version"),
        (notification(status="odd"), "alerts[0].status"),
        (notification(status=None), "alerts[0].status"),
        (notification(startsAt="noon"), "alerts[0].startsAt"),
        (notification(labels={"a": [1]}), "alerts[0].labels.a"),
    ],
)
def test_what_is_not_such_a_notification_is_refused_by_the_path(payload: Any, field: str) -> None:
    with pytest.raises(InvalidAlertError) as caught:
        parse_alertmanager(payload, NOW)
    assert caught.value.field == field
