"""Events of PagerDuty's Events API v2, read as alerts."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from incident_manager.domain.alert import Alert, AlertStatus
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.pagerduty import parse_pagerduty

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"
Payload = Callable[[str], Any]


def trigger(*, payload: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """An event; None takes a field away."""
    about = {"summary": "Disk full", "source": "db-1", "severity": "critical", **(payload or {})}
    event = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "disk", "payload": about, **fields}
    event["payload"] = {name: value for name, value in about.items() if value is not None}
    return {name: value for name, value in event.items() if value is not None}


def alert_of(event: dict[str, Any]) -> Alert:
    return parse_pagerduty(event, NOW).alert


def test_the_documented_example_is_read(payload: Payload) -> None:
    event = parse_pagerduty(payload("pagerduty-trigger"), NOW)
    alert = event.alert
    assert event.dedup_key == "samplekeyhere"
    assert (alert.source, alert.status, alert.severity) == ("pagerduty", AlertStatus.FIRING, Severity.P4)
    assert alert.title == "Example alert on host1.example.com"
    assert alert.starts_at == datetime(2015, 7, 17, 8, 42, 58, 315000, tzinfo=UTC)
    assert alert.labels["component"] == "postgres"
    assert (alert.labels["group"], alert.labels["class"]) == ("prod-datapipe", "deploy")
    assert (alert.annotations["ping time"], alert.annotations["load avg"]) == ("1500ms", "0.75")
    assert alert.annotations["links"] == '[{"href":"https://example.com/","text":"Link text"}]'
    assert alert.generator_url == "https://monitoring.example.com"


def test_every_action_of_one_key_is_about_one_trouble(payload: Payload) -> None:
    alerts = [alert_of(payload(f"pagerduty-{action}")) for action in ("trigger", "acknowledge", "resolve")]
    assert [alert.status for alert in alerts] == [AlertStatus.FIRING, AlertStatus.ACKNOWLEDGED, AlertStatus.RESOLVED]
    assert len({alert.fingerprint for alert in alerts}) == 1


def test_events_of_a_real_alertmanager_are_about_one_trouble(payload: Payload) -> None:
    firing = alert_of(payload("alertmanager-0.25-pagerduty-trigger"))
    resolved = alert_of(payload("alertmanager-0.25-pagerduty-resolve"))
    assert firing.title == "[FIRING:1] InstanceDown (test 127.0.0.1:9100 node critical)"
    assert (resolved.status, resolved.fingerprint) == (AlertStatus.RESOLVED, firing.fingerprint)


def test_keys_of_different_routing_keys_are_different_and_no_routing_key_is_kept() -> None:
    first, second = alert_of(trigger()), alert_of(trigger(routing_key="f" * 32))
    assert first.fingerprint != second.fingerprint
    assert KEY not in repr(first)


def test_a_trigger_without_a_key_gets_one_of_its_own() -> None:
    first, second = (parse_pagerduty(trigger(dedup_key=None), NOW) for _ in range(2))
    assert len(first.dedup_key) == 32
    assert first.alert.fingerprint != second.alert.fingerprint
    resolving = {"routing_key": KEY, "event_action": "resolve", "dedup_key": first.dedup_key}
    assert alert_of(resolving).fingerprint == first.alert.fingerprint


@pytest.mark.parametrize(
    ("word", "severity"),
    [("critical", Severity.P0), ("error", Severity.P1), ("warning", Severity.P2), ("info", Severity.P4)],
)
def test_each_severity_has_one_of_ours(word: str, severity: Severity) -> None:
    assert alert_of(trigger(payload={"severity": word})).severity is severity


@pytest.mark.parametrize(
    "timestamp",
    ["2026-01-01T11:00:00Z", "2026-01-01T11:00:00", "2026-01-01 11:00:00+00:00", "2026-01-01T12:00:00.000+0100"],
)
def test_times_are_read_as_senders_write_them(timestamp: str) -> None:
    assert alert_of(trigger(payload={"timestamp": timestamp})).starts_at == datetime(2026, 1, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize("timestamp", ["noon", "2026-01-01T11:00:00+00:00Z", 1767265200, {"at": 1}])
def test_a_time_that_cannot_be_read_is_kept_and_loses_no_event(timestamp: Any) -> None:
    alert = alert_of(trigger(payload={"timestamp": timestamp}))
    assert alert.starts_at == NOW
    assert alert.annotations["timestamp"]


def test_a_trigger_from_the_future_can_be_resolved_now() -> None:
    assert alert_of(trigger(payload={"timestamp": "2027-01-01T00:00:00Z"})).starts_at == NOW


def test_a_long_summary_is_kept_whole() -> None:
    alert = alert_of(trigger(payload={"summary": "x" * 1000}))
    assert (len(alert.title), alert.description) == (500, "x" * 1000)


def test_details_that_are_no_object_are_kept() -> None:
    assert alert_of(trigger(payload={"custom_details": ["a", 1]})).annotations["custom_details"] == '["a",1]'


def test_what_an_action_does_not_need_need_not_be_right() -> None:
    event = {"routing_key": KEY, "event_action": "resolve", "dedup_key": "disk", "payload": {"severity": "odd"}}
    assert alert_of(event).status is AlertStatus.RESOLVED


@pytest.mark.parametrize(
    ("event", "field", "rule"),
    [
        ([], "event", "must be a JSON object"),
        (trigger(routing_key=None), "routing_key", "is missing or blank"),
        (trigger(routing_key=5), "routing_key", "is missing or blank"),
        (trigger(event_action="escalate"), "event_action", "'trigger', 'acknowledge' or 'resolve'"),
        ({"routing_key": KEY, "event_action": "trigger"}, "payload", "is missing"),
        (trigger(payload={"summary": " "}), "payload.summary", "is missing or blank"),
        (trigger(payload={"source": None}), "payload.source", "is missing or blank"),
        (trigger(payload={"severity": "high"}), "payload.severity", "'critical', 'error', 'warning' or 'info'"),
        (trigger(dedup_key="k" * 256), "dedup_key", "is too long (maximum is 255 characters)"),
        ({"routing_key": KEY, "event_action": "resolve"}, "dedup_key", "is missing or blank"),
        ({"routing_key": KEY, "event_action": "acknowledge", "dedup_key": ""}, "dedup_key", "is missing or blank"),
    ],
)
def test_what_pagerduty_refuses_is_refused(event: Any, field: str, rule: str) -> None:
    with pytest.raises(InvalidAlertError) as caught:
        parse_pagerduty(event, NOW)
    assert caught.value.field == field
    assert rule in caught.value.rule
    assert KEY not in str(caught.value)
