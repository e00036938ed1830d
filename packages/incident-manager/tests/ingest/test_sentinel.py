"""Anomalies of Sentinel, and its signature."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.alert import Alert, AlertStatus
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.sentinel import is_signed, parse_sentinel, signature_of, without_member

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BODY = (Path(__file__).parent / "payloads/sentinel-anomaly.json").read_text().strip()
SECRET = "a secret of both sides"
Payload = Callable[[str], Any]


def sign(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed(text: str) -> str:
    """The text with the member `signature` added to its end, as Sentinel does it."""
    return f'{text[:-1]},"signature":"{sign(text)}"}}'


def anomaly(**fields: Any) -> Alert:
    payload = json.loads(BODY)
    event = {name: fields.pop(name) for name in ("event_type",) if name in fields}
    payload["data"] |= fields
    [alert] = parse_sentinel({**payload, **event}, NOW)
    return alert


def test_an_anomaly_is_read(payload: Payload) -> None:
    [alert] = parse_sentinel(payload("sentinel-anomaly"), NOW)
    assert (alert.source, alert.status, alert.severity) == ("sentinel", AlertStatus.FIRING, Severity.P1)
    assert alert.title == "Latency spike in chat (large-1)"
    assert alert.starts_at == datetime(2026, 11, 25, 8, 0, 0, 987654, tzinfo=UTC)
    assert alert.labels == {
        "service": "chat",
        "model": "large-1",
        "anomaly_type": "latency_spike",
        "metric": "latency_ms",
        "region": "eu-1",
    }
    assert (alert.annotations["value"], alert.annotations["confidence"]) == ("5400.0", "0.9700000000000001")
    assert alert.annotations["remediation"] == "Send traffic to another provider\nLook at the queue"
    assert alert.annotations["context.time_window"] == "5m"
    assert alert.generator_url == "https://runbooks.example.org/latency"


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", Severity.P0),
        ("high", Severity.P1),
        ("medium", Severity.P2),
        ("low", Severity.P3),
        ("odd", Severity.P2),
        (None, Severity.P2),
    ],
)
def test_each_severity_has_one_of_ours(word: str | None, severity: Severity) -> None:
    assert anomaly(severity=word).severity is severity


def test_anomalies_of_one_kind_in_one_place_are_one_trouble() -> None:
    first, second = anomaly(), anomaly(alert_id="another", severity="critical")
    assert first.fingerprint == second.fingerprint
    assert first.id != second.id
    assert anomaly(model="small-1").fingerprint != first.fingerprint
    assert anomaly(anomaly_type="cost_anomaly").fingerprint != first.fingerprint


def test_the_same_anomaly_delivered_again_is_the_same_alert() -> None:
    assert anomaly().id == anomaly(confidence=1).id != anomaly(event_type="anomaly.resolved").id


def test_the_end_of_an_anomaly_belongs_to_it() -> None:
    resolved = anomaly(event_type="anomaly.resolved")
    assert (resolved.status, resolved.fingerprint) == (AlertStatus.RESOLVED, anomaly().fingerprint)
    assert resolved.decided_at == datetime(2026, 11, 25, 8, 0, 1, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ([], "body"),
        ({"event_type": "model.deployed", "data": {}}, "event_type"),
        ({"event_type": "anomaly.detected"}, "data"),
        ({"event_type": "anomaly.detected", "data": {"alert_id": "1", "service_name": "s"}}, "data.anomaly_type"),
    ],
)
def test_what_is_no_anomaly_is_refused_by_the_path(payload: Any, field: str) -> None:
    with pytest.raises(InvalidAlertError) as caught:
        parse_sentinel(payload, NOW)
    assert caught.value.field == field


def test_the_signature_is_of_the_text_before_the_signature_was_added() -> None:
    assert is_signed(BODY, sign(BODY), SECRET)
    assert is_signed(signed(BODY), sign(BODY), SECRET)
    assert is_signed(signed(BODY), sign(BODY).upper(), SECRET)


def test_reading_and_writing_the_json_again_would_lose_the_signature() -> None:
    """Why the text itself is used: Python writes 1e16 and 1e-7 in another way than Rust."""
    assert json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False) != BODY


@pytest.mark.parametrize(
    "signature", ["", "0" * 64, "größer", sign(BODY)[:-1], sign(BODY + " "), sign(json.dumps(json.loads(BODY)))]
)
def test_another_signature_is_none(signature: str) -> None:
    assert not is_signed(BODY, signature, SECRET)
    assert not is_signed(BODY, sign(BODY), "another secret")


def test_a_changed_body_is_not_signed() -> None:
    assert not is_signed(signed(BODY).replace("5400.0", "5400.1"), sign(BODY), SECRET)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"a":1,"signature":"x"}', '{"a":1}'),
        ('{"signature":"x","a":1}', '{"a":1}'),
        ('{"a":1,"signature":null,"b":2}', '{"a":1,"b":2}'),
        ('{"signature":"x"}', "{}"),
        ('{"a":{"signature":"x"},"b":"\\"signature\\":"}', '{"a":{"signature":"x"},"b":"\\"signature\\":"}'),
        ('{"a":1, "signature" : {"b":[","]} , "c":3}', '{"a":1 , "c":3}'),
        ("{}", "{}"),
        ("[1]", "[1]"),
    ],
)
def test_one_member_is_cut_out_of_the_text_and_nothing_else_changes(text: str, left: str) -> None:
    assert without_member(text, "signature") == left


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    members=st.dictionaries(st.text().filter(lambda name: name != "signature"), json_values, max_size=4),
    at=st.integers(0, 4),
    value=json_values,
    ascii_only=st.booleans(),
)
def test_a_member_that_was_added_anywhere_is_cut_out_again(
    members: dict[str, Any], at: int, value: Any, ascii_only: bool
) -> None:
    items = list(members.items())
    items.insert(at, ("signature", value))

    def compact(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only)

    assert without_member(compact(dict(items)), "signature") == compact(members)


def test_the_signature_in_the_body_is_found() -> None:
    assert signature_of(json.loads(signed(BODY))) == sign(BODY)
    assert signature_of(json.loads(BODY)) is None
    with pytest.raises(InvalidAlertError):
        signature_of({"signature": 5})
