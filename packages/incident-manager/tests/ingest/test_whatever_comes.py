"""Whatever a sender posts is read as alerts or refused by its field: no adapter fails in another way."""

import copy
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.alert import Alert
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.alertmanager import parse_alertmanager
from incident_manager.ingest.cloudevents import binary_event, parse_cloudevents
from incident_manager.ingest.grafana import parse_grafana
from incident_manager.ingest.native import parse_native
from incident_manager.ingest.pagerduty import parse_pagerduty
from incident_manager.ingest.prometheus import parse_prometheus
from incident_manager.ingest.sentinel import parse_sentinel, without_member

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NATIVE = {"alerts": [{"title": "Disk full", "labels": {"host": "a"}, "ends_at": "2026-01-01T11:00:00Z"}]}
FILES = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "payloads").glob("*.json")}

Adapter = Callable[[object], Sequence[Alert]]
ADAPTERS: dict[str, Adapter] = {
    "native": lambda payload: parse_native(payload, NOW),
    "alertmanager": lambda payload: parse_alertmanager(payload, NOW, unknown_severity=Severity.P2),
    "prometheus": lambda payload: parse_prometheus(payload, NOW, resolve_timeout=300),
    "grafana": lambda payload: parse_grafana(payload, NOW, test_timeout=300),
    "pagerduty": lambda payload: [parse_pagerduty(payload, NOW).alert],
    "cloudevents": lambda payload: parse_cloudevents(payload, NOW),
    "sentinel": lambda payload: parse_sentinel(payload, NOW),
}
REAL = {name: [value for file, value in sorted(FILES.items()) if name in file] for name in ADAPTERS}
REAL["native"] = [NATIVE]
REAL["alertmanager"] = [value for value in REAL["alertmanager"] if "routing_key" not in value]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "resolved"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a payload with every key or index in it."""
    if isinstance(value, dict | list):
        inner = list(value.items() if isinstance(value, dict) else enumerate(value))
        return [(value, key) for key, _ in inner] + [place for _, item in inner for place in places(item)]
    return []


@st.composite
def mutated(draw: st.DrawFn, payloads: Sequence[Any]) -> Any:
    """A real payload with up to three of its values replaced, taken away or doubled."""
    whole = {"payload": copy.deepcopy(draw(st.sampled_from(payloads)))}
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(whole)))
        change = draw(st.sampled_from(["replace", "remove", "swap"]))
        if change == "replace" or container is whole:
            container[key] = draw(json_values)
        elif change == "remove":
            del container[key]
        else:
            other, other_key = draw(st.sampled_from(places(whole)))
            container[key] = copy.deepcopy(other[other_key])
    return whole["payload"]


def read_or_refused(adapter: Adapter, payload: Any) -> None:
    try:
        alerts = adapter(payload)
    except InvalidAlertError:
        return
    for alert in alerts:
        assert 0 < len(alert.title) <= 500
        assert len(alert.fingerprint) == 64
        assert all(
            isinstance(text, str) for pair in [*alert.labels.items(), *alert.annotations.items()] for text in pair
        )
        assert alert.starts_at.tzinfo is UTC


@pytest.mark.parametrize("name", ADAPTERS)
@given(data=st.data())
def test_any_json_value_is_read_or_refused(name: str, data: st.DataObject) -> None:
    read_or_refused(ADAPTERS[name], data.draw(json_values))


@pytest.mark.parametrize("name", ADAPTERS)
@given(data=st.data())
def test_a_changed_real_payload_is_read_or_refused(name: str, data: st.DataObject) -> None:
    read_or_refused(ADAPTERS[name], data.draw(mutated(REAL[name])))


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_real_payload_is_read(name: str) -> None:
    assert REAL[name]
    for payload in REAL[name]:
        assert ADAPTERS[name](payload)


attributes = ("specversion", "id", "source", "type", "subject", "time", "status", "extension")
headers = st.dictionaries(
    st.sampled_from([f"ce-{name}" for name in attributes]),
    st.text(st.characters(max_codepoint=255)) | st.sampled_from(["1.0", "%", "%FF", "%E2%82%AC", "2026-01-01"]),
)


@given(headers=headers, content_type=st.none() | st.text(), data=json_values | st.binary())
def test_any_headers_of_an_event_are_read_or_refused(
    headers: dict[str, str], content_type: str | None, data: Any
) -> None:
    read_or_refused(lambda _: parse_cloudevents(binary_event(headers, content_type, data), NOW), None)


@given(value=json_values)
def test_cutting_a_member_out_fails_for_no_json(value: Any) -> None:
    without_member(json.dumps(value), "signature")
