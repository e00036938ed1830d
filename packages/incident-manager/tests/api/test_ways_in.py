"""What each way in answers over HTTP; `tests/ingest` tells how each format is read."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from testing.live import LiveApp

from incident_manager.api import ingest_examples as examples
from incident_manager.app import create_app
from incident_manager.settings import IngestSettings, Settings

EXAMPLES: dict[str, Any] = {
    "/v1/ingest/alertmanager": examples.ALERTMANAGER,
    "/v1/ingest/grafana": examples.GRAFANA,
    "/api/v2/alerts": examples.PROMETHEUS,
    "/v1/ingest/prometheus/api/v2/alerts": examples.PROMETHEUS,
    "/v1/ingest/cloudevents": examples.CLOUDEVENT,
    "/v1/ingest/sentinel": examples.SENTINEL,
}
PAGERDUTY = ("/v2/enqueue", "/v1/ingest/pagerduty")
EVENTS = "application/cloudevents+json"


def post(client: httpx2.Client, path: str, body: object) -> httpx2.Response:
    kind = EVENTS if path == "/v1/ingest/cloudevents" else "application/json"
    return client.post(path, content=json.dumps(body), headers={"Content-Type": kind})


def incident(client: httpx2.Client, incident_id: str) -> Any:
    return client.get(f"/v1/incidents/{incident_id}").raise_for_status().json()


@pytest.mark.parametrize("path", EXAMPLES)
def test_the_example_of_the_documentation_is_taken(client: httpx2.Client, path: str) -> None:
    answer = post(client, path, EXAMPLES[path])
    assert answer.status_code == (200 if path.endswith("/api/v2/alerts") else 202)
    [accepted] = answer.json()["alerts"]
    assert accepted["alert_id"]


@pytest.mark.parametrize("path", EXAMPLES)
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff", 400), (b'{"a": NaN}', 400), (b'{"a": 1, "a": 2}', 400), (b'"text"', 422), (b"null", 422)],
)
def test_what_cannot_be_read_is_refused_in_the_one_shape(
    client: httpx2.Client, path: str, body: bytes, status: int
) -> None:
    kind = EVENTS if path == "/v1/ingest/cloudevents" else "application/json"
    answer = client.post(path, content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["error"].keys() >= {"code", "message"}


@pytest.mark.parametrize("path", [*EXAMPLES, *PAGERDUTY])
def test_a_form_of_a_foreign_page_is_refused(client: httpx2.Client, path: str) -> None:
    answer = client.post(path, content=b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 415


@pytest.mark.parametrize("path", [*EXAMPLES, *PAGERDUTY])
def test_what_cannot_be_stored_is_answered_503(client: httpx2.Client, database_down: None, path: str) -> None:
    answer = post(client, path, EXAMPLES.get(path, examples.PAGERDUTY))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("path", PAGERDUTY)
def test_an_event_is_answered_as_pagerduty_does(client: httpx2.Client, path: str) -> None:
    answer = post(client, path, examples.PAGERDUTY)
    assert answer.status_code == 202
    assert answer.json() == {"status": "success", "message": "Event processed", "dedup_key": "disk-db-1"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"routing_key": "k", "event_action": "trigger"}, "'payload' is missing"),
        ({"routing_key": "secret-key"}, "'event_action' is missing or blank"),
        ({**examples.PAGERDUTY, "event_action": "x"}, "'event_action' is invalid: Input should be 'trigger', "),
        ([], "'event' must be a JSON object"),
        ({**examples.PAGERDUTY, "routing_key": ["secret-key"]}, "'routing_key' is missing or blank"),
    ],
)
def test_a_wrong_event_is_refused_as_pagerduty_does(client: httpx2.Client, body: object, sentence: str) -> None:
    answer = post(client, "/v2/enqueue", body)
    assert answer.status_code == 400
    refusal = answer.json()
    assert (refusal["status"], refusal["message"]) == ("invalid event", "Event object is invalid")
    assert refusal["errors"][0].startswith(sentence)
    assert "secret-key" not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1, "a": 2}'])
def test_an_event_that_is_no_json_is_refused_as_pagerduty_does(client: httpx2.Client, body: bytes) -> None:
    answer = client.post("/v2/enqueue", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["status"] == "invalid event"
    assert answer.json()["errors"]


def test_a_resolving_event_without_an_incident_opens_none(client: httpx2.Client) -> None:
    def count() -> int:
        return len(client.get("/v1/incidents", params={"limit": 200}).json()["incidents"])

    before = count()
    for action in ("acknowledge", "resolve"):
        event = {"routing_key": "k", "event_action": action, "dedup_key": "never seen"}
        assert post(client, "/v2/enqueue", event).json()["dedup_key"] == "never seen"
    assert count() == before


def test_change_events_are_not_taken(client: httpx2.Client) -> None:
    assert post(client, "/v2/change/enqueue", {}).status_code == 404


def test_an_alert_of_prometheus_expires(client: httpx2.Client) -> None:
    alert = {"labels": {"alertname": "Expires"}, "endsAt": "2126-01-01T00:00:00Z"}
    [accepted] = post(client, "/api/v2/alerts", [alert]).json()["alerts"]
    assert incident(client, accepted["incident_id"])["expires_at"] == "2126-01-01T00:00:00Z"
    [ended] = post(client, "/api/v2/alerts", [{**alert, "endsAt": "2026-01-01T00:00:00Z"}]).json()["alerts"]
    assert ended["action"] in ("resolved", "ignored")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/json"}, b'{"title": "binary json"}'),
        ({"Content-Type": "text/plain"}, b"binary text"),
        ({"Content-Type": "application/octet-stream"}, b"\x00\xff"),
        ({}, b""),
    ],
)
def test_an_event_in_binary_mode_is_taken(client: httpx2.Client, headers: dict[str, str], body: bytes) -> None:
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": str(len(body)),
        "ce-source": f"/binary/{len(headers)}/{len(body)}",
        "ce-type": "org.example.binary",
        "ce-severity": "low",
    }
    answer = client.post("/v1/ingest/cloudevents", content=body, headers={**headers, **attributes})
    assert answer.status_code == 202
    [accepted] = answer.json()["alerts"]
    assert incident(client, accepted["incident_id"])["severity"] == "P3"
    [again] = client.post("/v1/ingest/cloudevents", content=body, headers={**headers, **attributes}).json()["alerts"]
    assert (again["action"], again["incident_id"]) == ("ignored", accepted["incident_id"])


@pytest.mark.parametrize(
    ("headers", "body", "status", "field"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415, None),
        ({"Content-Type": "application/cloudevents+avro"}, b"x", 415, None),
        ({"Content-Type": EVENTS}, b"[]", 422, "body"),
        ({"Content-Type": "application/cloudevents-batch+json"}, b"{}", 422, "body"),
        ({"Content-Type": "application/cloudevents-batch+json"}, b"[{}]", 422, "[0].specversion"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a"}, b"", 422, "type"),
        ({"ce-specversion": "1.0", "Content-Type": "application/json"}, b"{", 400, None),
    ],
)
def test_what_is_no_event_is_refused(
    client: httpx2.Client, headers: dict[str, str], body: bytes, status: int, field: str | None
) -> None:
    answer = client.post("/v1/ingest/cloudevents", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"].get("field")) == (status, field)


# Sentinel with a secret

SECRET = "a secret of both sides"
BODY = (Path(__file__).parent.parent / "ingest/payloads/sentinel-anomaly.json").read_text().strip()
SIGNATURE = hmac.new(SECRET.encode(), BODY.encode(), hashlib.sha256).hexdigest()
SIGNED = f'{BODY[:-1]},"signature":"{SIGNATURE}"}}'


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of a service that shares a secret with Sentinel."""
    ingest = IngestSettings(sentinel_secret=SecretStr(SECRET))
    settings = Settings(data_dir=tmp_path_factory.mktemp("guarded"), ingest=ingest)
    with LiveApp(create_app(settings)) as service, service.client() as client:
        yield client


def push(client: httpx2.Client, body: str, signature: str | None) -> httpx2.Response:
    headers = {"Content-Type": "application/json", **({"X-Sentinel-Signature": signature} if signature else {})}
    return client.post("/v1/ingest/sentinel", content=body.encode(), headers=headers)


@pytest.mark.parametrize(("body", "signature"), [(BODY, SIGNATURE), (SIGNED, SIGNATURE), (SIGNED, None)])
def test_a_signed_anomaly_is_taken(guarded: httpx2.Client, body: str, signature: str | None) -> None:
    assert push(guarded, body, signature).status_code == 202


@pytest.mark.parametrize(
    ("body", "signature", "code"),
    [
        (BODY, None, "signature_missing"),
        (BODY, "0" * 64, "signature_invalid"),
        (BODY.replace("5400.0", "5400.1"), SIGNATURE, "signature_invalid"),
        (SIGNED.replace("5400.0", "5400.1"), None, "signature_invalid"),
        (json.dumps(json.loads(BODY)), SIGNATURE, "signature_invalid"),
        ("{}", "0" * 64, "signature_invalid"),
        ("[]", None, "signature_missing"),
    ],
)
def test_an_anomaly_without_our_signature_is_refused(
    guarded: httpx2.Client, body: str, signature: str | None, code: str
) -> None:
    answer = push(guarded, body, signature)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert SECRET not in answer.text
