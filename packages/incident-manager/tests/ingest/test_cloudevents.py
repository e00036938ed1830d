"""CloudEvents 1.0, read as alerts."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from incident_manager.domain.alert import Alert, AlertStatus
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.cloudevents import binary_event, parse_cloudevents

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIME = datetime(2026, 1, 1, 11, tzinfo=UTC)
Payload = Callable[[str], Any]


def event(**attributes: Any) -> dict[str, Any]:
    """An event; None takes an attribute away."""
    whole = {
        "specversion": "1.0",
        "id": "1",
        "source": "/hosts/db-1",
        "type": "org.example.disk.full",
        "subject": "/var",
        "time": "2026-01-01T11:00:00Z",
        **attributes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def one(**attributes: Any) -> Alert:
    [alert] = parse_cloudevents(event(**attributes), NOW)
    return alert


def test_the_documented_event_is_read(payload: Payload) -> None:
    [alert] = parse_cloudevents(payload("cloudevents-structured"), NOW)
    assert (alert.source, alert.status, alert.severity) == ("cloudevents", AlertStatus.FIRING, Severity.P2)
    assert alert.title == "com.example.someevent"
    assert alert.starts_at == datetime(2018, 4, 5, 17, 31, tzinfo=UTC)
    assert alert.labels == {
        "ce_source": "/mycontext",
        "ce_type": "com.example.someevent",
        "comexampleextension1": "value",
        "comexampleothervalue": "5",
    }
    assert alert.annotations["data"] == '{"appinfoA":"abc","appinfoB":123,"appinfoC":true}'


def test_every_event_of_the_documented_batch_is_read(payload: Payload) -> None:
    binary, plain = parse_cloudevents(payload("cloudevents-batch"), NOW)
    assert binary.annotations["ce_id"] == "B234-1234-1234"
    assert binary.description == "/wD/AA=="  # no text: kept as it came
    assert plain.annotations["data"].startswith('{"appinfoA":"potatoes"')
    assert parse_cloudevents([], NOW) == []


def test_data_tells_title_description_severity_labels_and_link() -> None:
    data = {
        "title": "Disk full",
        "description": "0 bytes are left",
        "severity": "critical",
        "labels": {"mount": "/var", "size": 20},
        "url": "https://example.org/disk",
    }
    alert = one(data=data)
    assert (alert.title, alert.description, alert.severity) == ("Disk full", "0 bytes are left", Severity.P0)
    assert (alert.labels["mount"], alert.labels["size"], alert.labels["ce_subject"]) == ("/var", "20", "/var")
    assert alert.generator_url == "https://example.org/disk"


def test_an_extension_attribute_wins_over_data() -> None:
    alert = one(severity="info", status="firing", data={"severity": "critical", "status": "resolved"})
    assert (alert.severity, alert.status) == (Severity.P4, AlertStatus.FIRING)


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({}, AlertStatus.FIRING),
        ({"status": "resolved"}, AlertStatus.RESOLVED),
        ({"status": "OK"}, AlertStatus.RESOLVED),
        ({"status": "acknowledged"}, AlertStatus.ACKNOWLEDGED),
        ({"data": {"status": "recovered"}}, AlertStatus.RESOLVED),
        ({"data": {"status": "in review"}}, AlertStatus.FIRING),
        ({"data": {"status": 5}}, AlertStatus.FIRING),
        ({"type": "org.example.disk.full.resolved"}, AlertStatus.RESOLVED),
        ({"type": "resolved"}, AlertStatus.FIRING),
    ],
)
def test_the_status_is_an_attribute_or_in_the_data_or_the_end_of_the_type(
    attributes: dict[str, Any], status: AlertStatus
) -> None:
    assert one(**attributes).status is status


def test_the_time_is_the_start_of_what_fires_and_the_end_of_what_is_resolved() -> None:
    firing, resolved = one(), one(status="resolved")
    assert (firing.starts_at, firing.ends_at) == (TIME, None)
    assert (resolved.ends_at, resolved.decided_at) == (TIME, TIME)


def test_source_subject_and_type_are_the_identity_whatever_the_status() -> None:
    first = one()
    same = [one(id="2", severity="critical"), one(type="org.example.disk.full.resolved"), one(status="resolved")]
    other = [one(source="/hosts/db-2"), one(subject="/home"), one(subject=None), one(type="org.example.disk.slow")]
    assert {alert.fingerprint for alert in same} == {first.fingerprint}
    assert len({alert.fingerprint for alert in [first, *other]}) == 5


def test_a_key_of_the_sender_is_the_identity() -> None:
    first, second = one(dedupkey="disk", subject="/a"), one(data={"dedup_key": "disk"}, subject="/b")
    assert first.fingerprint == second.fingerprint != one(dedupkey="disk", source="/other").fingerprint


def test_source_and_id_make_the_same_alert_of_the_same_event() -> None:
    assert one().id == one(data={"retry": 1}).id
    assert len({one().id, one(id="2").id, one(source="/hosts/db-2").id}) == 3


@pytest.mark.parametrize(
    ("kind", "data", "description", "kept"),
    [
        ("application/json", b'{"title": "Full", "free": 0}', "", '{"free":0,"title":"Full"}'),
        (None, b'{"free": 0}', "", '{"free":0}'),
        ("application/json", b"{not json", "{not json", None),
        ("application/json", b'{"a": 1, "a": 2}', '{"a": 1, "a": 2}', None),
        ("application/json", b'"half \\ud800"', '"half \\ud800"', None),
        ("text/plain", "97 % größer".encode(), "97 % größer", None),
        ("image/png", b"\x89PNG", "iVBORw==", None),
        ("text/plain", b"nul \0", "bnVsIAA=", None),
    ],
)
def test_data_in_base64_is_json_text_or_left_as_it_is(
    kind: str | None, data: bytes, description: str, kept: str | None
) -> None:
    alert = one(datacontenttype=kind, data_base64=base64.b64encode(data).decode())
    assert (alert.description, alert.annotations.get("data")) == (description, kept)


def test_attributes_of_headers_are_percent_encoded() -> None:
    headers = {
        "host": "localhost",
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/hosts/db-1",
        "ce-type": "org.example.disk.full",
        "ce-subject": "gr%C3%B6%C3%9Fer%20als",
        "ce-quoted": '"100%25"',
        "ce-data": "no attribute",
    }
    read = binary_event(headers, "application/json", {"free": 0})
    assert (read["subject"], read["quoted"]) == ("größer als", "100%")
    assert (read["datacontenttype"], read["data"]) == ("application/json", {"free": 0})
    [alert] = parse_cloudevents(read, NOW)
    assert alert.labels["quoted"] == "100%"


def test_binary_content_is_the_same_event_as_its_json_form() -> None:
    headers = {f"ce-{name}": value for name, value in event().items()}
    [alert] = parse_cloudevents(binary_event(headers, "text/plain", b"hello"), NOW)
    assert (alert.id, alert.fingerprint, alert.description) == (one().id, one().fingerprint, "hello")
    [without_data] = parse_cloudevents(binary_event(headers, None, None), NOW)
    assert without_data.description == ""


def test_a_header_that_no_database_keeps_is_refused() -> None:
    with pytest.raises(InvalidAlertError) as caught:
        binary_event({"ce-subject": "%00"}, None, None)
    assert caught.value.field == "subject"


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (5, "body"),
        ([event(), 5], "[1]"),
        (event(id=None), "id"),
        (event(id=""), "id"),
        (event(id=7), "id"),
        (event(source=None), "source"),
        (event(type=None), "type"),
        ([event(specversion="0.3")], "[0].specversion"),
        (event(time="yesterday"), "time"),
        (event(status="odd"), "status"),
        (event(extension={"a": 1}), "extension"),
        (event(extension="\ud800"), "extension"),
        (event(data_base64="?"), "data_base64"),
        (event(data={}, data_base64=""), "data_base64"),
    ],
)
def test_what_is_no_event_is_refused_by_the_path(payload: Any, field: str) -> None:
    with pytest.raises(InvalidAlertError) as caught:
        parse_cloudevents(payload, NOW)
    assert caught.value.field == field


def test_deeply_nested_data_in_base64_is_kept_as_text() -> None:
    deep = "[" * 100_000
    assert one(data_base64=base64.b64encode(deep.encode()).decode()).description == deep
    nested = json.loads("[" * 200 + "]" * 200)
    assert one(data=nested).annotations["data"] == "[" * 200 + "]" * 200
