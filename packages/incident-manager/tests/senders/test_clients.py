"""Client libraries that others wrote, and that believe they speak to what they were written for."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pagerduty import EventsApiV2Client, HttpError
from testing.service import IncidentManager

ROUTING_KEY = "0123456789abcdef0123456789abcdef"

Incidents = Callable[[str], list[dict[str, Any]]]


class TlsTerminated(httpx2.HTTPTransport):
    """What a reverse proxy before the service does: PagerDuty's client takes addresses with https only."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http")
        return super().handle_request(request)


@pytest.fixture
def pagerduty(service: IncidentManager) -> Iterator[EventsApiV2Client]:
    """PagerDuty's own client, with our address."""
    address = f"https://127.0.0.1:{service.port}"
    with EventsApiV2Client(ROUTING_KEY, base_url=address, transport=TlsTerminated()) as client:
        yield client


def test_pagerdutys_client_triggers_acknowledges_and_resolves(
    pagerduty: EventsApiV2Client, service: IncidentManager, incidents: Incidents
) -> None:
    key = pagerduty.trigger("Disk of db-1 full", "db-1", severity="warning", custom_details={"free": 0})
    [opened] = incidents("Disk of db-1 full")
    assert (opened["severity"], opened["status"], opened["acknowledged_at"]) == ("P2", "detected", None)
    assert opened["annotations"]["free"] == "0"
    assert pagerduty.trigger("Disk of db-1 full", "db-1", dedup_key=key) == key
    assert pagerduty.acknowledge(key) == key
    [acknowledged] = incidents("Disk of db-1 full")
    assert (acknowledged["alert_count"], acknowledged["acknowledged_by"]) == (2, "source:pagerduty")
    assert pagerduty.resolve(key) == key
    [resolved] = incidents("Disk of db-1 full")
    assert (resolved["status"], resolved["resolved_by"]) == ("resolved", "source:pagerduty")
    assert ROUTING_KEY not in service.log
    assert ROUTING_KEY not in repr(resolved)


def test_pagerdutys_client_is_told_what_is_wrong_with_an_event(pagerduty: EventsApiV2Client) -> None:
    with pytest.raises(HttpError) as caught:
        pagerduty.send_event("trigger", payload={"summary": "x", "source": "y", "severity": "catastrophic"})
    assert caught.value.response.status_code == 400
    assert "'payload.severity' is invalid" in caught.value.response.text


def post(service: IncidentManager, message: HTTPMessage) -> Any:
    url = f"{service.url}/v1/ingest/cloudevents"
    return httpx2.post(url, headers=message.headers, content=message.body, timeout=30).raise_for_status().json()


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
@pytest.mark.parametrize(
    ("content_type", "data"),
    [("application/json", {"title": "Größe überschritten"}), ("text/plain", "97 %"), ("image/png", b"\x89PNG\r\n")],
)
def test_events_of_the_cloudevents_sdk_are_taken_and_count_once(
    write: Callable[[CloudEvent], HTTPMessage], content_type: str, data: Any, service: IncidentManager
) -> None:
    event = CloudEvent(
        {
            "type": "org.example.disk.full",
            "source": "/hosts/größer als",
            "subject": f"{write.__name__} {content_type}",
            "datacontenttype": content_type,
            "severity": "critical",
        },
        data,
    )
    [first] = post(service, write(event))["alerts"]
    [again] = post(service, write(event))["alerts"]
    assert (first["action"], again["action"]) == ("opened", "ignored")
    with service.client() as client:
        found = client.get(f"/v1/incidents/{first['incident_id']}").json()
    assert (found["severity"], found["alert_count"]) == ("P0", 1)
    assert found["labels"]["ce_source"] == "/hosts/größer als"
    assert found["title"] == (data["title"] if isinstance(data, dict) else f"{event.get_subject()}: {event.get_type()}")


def test_a_batch_of_events_is_taken(service: IncidentManager) -> None:
    events = [
        CloudEvent({"type": "org.example.batch", "source": f"/hosts/{number}"}, {"title": f"Batch {number}"})
        for number in range(3)
    ]
    body = b"[" + b",".join(JSONFormat().write(event) for event in events) + b"]"
    message = HTTPMessage({"content-type": "application/cloudevents-batch+json"}, body)
    assert [one["action"] for one in post(service, message)["alerts"]] == ["opened"] * 3
