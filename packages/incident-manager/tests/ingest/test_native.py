"""What POST /v1/alerts takes, and how it refuses the rest."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.alert import AlertStatus
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.native import parse_native

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_title_is_enough() -> None:
    [alert] = parse_native({"title": "Disk full"}, NOW)
    assert (alert.title, alert.source, alert.status) == ("Disk full", "api", AlertStatus.FIRING)
    assert (alert.severity, alert.starts_at, alert.received_at) == (Severity.P2, NOW, NOW)
    assert (alert.ends_at, alert.dedup_key, alert.generator_url) == (None, None, None)


def test_every_field_is_taken() -> None:
    payload = {
        "title": "Disk full",
        "description": "97 %",
        "source": "cron",
        "status": "resolved",
        "severity": "critical",
        "labels": {"host": "a"},
        "annotations": {"runbook": "r"},
        "starts_at": "2026-01-01T11:00:00+01:00",
        "ends_at": "2026-01-01T11:30:00.123456789Z",
        "dedup_key": "disk-a",
        "generator_url": "https://example.org/graph",
    }
    [alert] = parse_native(payload, NOW)
    assert (alert.description, alert.source, alert.status) == ("97 %", "cron", AlertStatus.RESOLVED)
    assert (alert.severity, alert.labels, alert.annotations) == (Severity.P0, {"host": "a"}, {"runbook": "r"})
    assert alert.starts_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert alert.ends_at == datetime(2026, 1, 1, 11, 30, 0, 123456, tzinfo=UTC)
    assert (alert.dedup_key, alert.generator_url) == ("disk-a", "https://example.org/graph")


def test_a_batch_keeps_its_order() -> None:
    alerts = parse_native({"alerts": [{"title": "a"}, {"title": "b"}, {"title": "c"}]}, NOW)
    assert [alert.title for alert in alerts] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("payload", "field", "rule"),
    [
        ([], "body", "must be a JSON object"),
        ("text", "body", "must be a JSON object"),
        ({}, "title", "is required"),
        ({"title": ""}, "title", "at least 1 character"),
        ({"title": "  "}, "title", "must not be blank"),
        ({"title": 7}, "title", "valid string"),
        ({"title": "x" * 501}, "title", "at most 500 characters"),
        ({"title": "a", "sevrity": "P0"}, "sevrity", "is not a field of an alert"),
        ({"title": "a", "severity": "sev1"}, "severity", "'sev1' is not a severity; use one of p0, critical"),
        ({"title": "a", "severity": 1}, "severity", "'P0'"),
        ({"title": "a", "status": "open"}, "status", "'firing' or 'resolved'"),
        ({"title": "a", "labels": {"code": 500}}, "labels.code", "valid string"),
        ({"title": "a", "labels": ["x"]}, "labels", "valid dictionary"),
        ({"title": "a", "starts_at": "yesterday"}, "starts_at", "RFC 3339"),
        ({"title": "a", "starts_at": 1767225600}, "starts_at", "RFC 3339"),
        ({"title": "a", "starts_at": "2026-01-01T10:00:00"}, "starts_at", "should have timezone info"),
        ({"title": "a", "starts_at": "0002-01-01T00:00:00+14:00"}, "starts_at", "from 1970 on"),
        ({"title": "a", "ends_at": "9999-12-31T23:59:59-14:00"}, "ends_at", "from 1970 on"),
        (
            {"title": "a", "starts_at": "2026-01-01T10:00:00Z", "ends_at": "2026-01-01T09:00:00Z"},
            "ends_at",
            "must not be before starts_at",
        ),
        ({"title": "a", "generator_url": "javascript:alert(1)"}, "generator_url", "an http or https URL"),
        ({"title": "half \ud800 pair"}, "title", "valid string"),
        ({"title": "a", "labels": {"\ud800": "x"}}, "labels", "valid strings"),
        ({"alerts": []}, "alerts", "at least 1 item"),
        ({"alerts": {"title": "a"}}, "alerts", "valid list"),
        ({"alerts": [{"title": "a"}, {"title": "b", "severity": "bad"}]}, "alerts[1].severity", "not a severity"),
        ({"alerts": [{"title": "a"}, {"title": " "}]}, "alerts[1].title", "must not be blank"),
        ({"alerts": [{"title": "a"}], "title": "b"}, "title", "is not a field"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_rule(payload: Any, field: str, rule: str) -> None:
    with pytest.raises(InvalidAlertError) as caught:
        parse_native(payload, NOW)
    assert caught.value.field.startswith(field)
    assert rule in caught.value.rule
    assert str(caught.value).startswith(f"{caught.value.field}: ")


def test_a_refusal_repeats_the_value_but_not_all_of_a_long_one() -> None:
    with pytest.raises(InvalidAlertError, match="given 'sev1'"):
        parse_native({"title": "a", "severity": "sev1"}, NOW)
    with pytest.raises(InvalidAlertError) as caught:
        parse_native({"title": "x" * 100_000}, NOW)
    assert len(str(caught.value)) < 300


def test_the_zero_time_of_go_means_none() -> None:
    [alert] = parse_native({"title": "a", "starts_at": "0001-01-01T00:00:00Z"}, NOW + timedelta(hours=1))
    assert alert.starts_at == NOW + timedelta(hours=1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["title", "description", "source", "status", "severity", "labels", "annotations", "starts_at", "ends_at", "alerts"]
)


@given(payload=json_values | st.dictionaries(fields, json_values, max_size=4))
def test_whatever_comes_it_is_read_or_refused(payload: Any) -> None:
    try:
        alerts = parse_native(payload, NOW)
    except InvalidAlertError:
        return
    assert all(alert.title.strip() and len(alert.fingerprint) == 64 for alert in alerts)
