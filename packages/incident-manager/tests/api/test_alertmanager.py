"""POST /v1/ingest/alertmanager: what Prometheus' Alertmanager sends."""

import copy
from typing import Any

import httpx2

WEBHOOK: dict[str, Any] = {
    "receiver": "incident-manager",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "InstanceDown", "instance": "db-1:9100", "job": "node", "severity": "critical"},
            "annotations": {"summary": "db-1 is down", "description": "db-1:9100 has been down for 5 minutes."},
            "startsAt": "2026-11-25T08:00:00.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0",
            "fingerprint": "c0ffee0000000001",
        },
        {
            "status": "firing",
            "labels": {"alertname": "InstanceDown", "instance": "db-2:9100", "job": "node", "severity": "warning"},
            "annotations": {"summary": "db-2 is down"},
            "startsAt": "2026-11-25T08:01:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": "c0ffee0000000002",
        },
    ],
    "groupLabels": {"alertname": "InstanceDown"},
    "commonLabels": {"alertname": "InstanceDown", "job": "node"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="InstanceDown"}',
    "truncatedAlerts": 0,
}


def post(client: httpx2.Client, body: object) -> httpx2.Response:
    return client.post("/v1/ingest/alertmanager", json=body)


def test_notification_opens_an_incident_per_alert_and_a_resolved_one_ends_it(client: httpx2.Client) -> None:
    answer = post(client, WEBHOOK)
    assert answer.status_code == 202
    first, second = answer.json()["alerts"]
    assert (first["action"], second["action"]) == ("opened", "opened")
    found = client.get(f"/v1/incidents/{first['incident_id']}").json()
    assert (found["title"], found["severity"], found["source"]) == ("db-1 is down", "P0", "alertmanager")
    assert found["description"] == "db-1:9100 has been down for 5 minutes."
    assert found["labels"]["instance"] == "db-1:9100"

    later = copy.deepcopy(WEBHOOK)
    later["alerts"][0] |= {"status": "resolved", "endsAt": "2026-11-25T08:30:00Z"}
    actions = [item["action"] for item in post(client, later).json()["alerts"]]
    assert actions == ["resolved", "updated"]
    assert client.get(f"/v1/incidents/{first['incident_id']}").json()["status"] == "resolved"
    assert client.get(f"/v1/incidents/{second['incident_id']}").json()["status"] == "detected"


def test_notification_is_journaled_while_the_database_is_away(client: httpx2.Client, database_down: None) -> None:
    answer = post(client, WEBHOOK)
    assert answer.status_code == 202
    assert {alert["action"] for alert in answer.json()["alerts"]} == {"journaled"}


def test_wrong_notification_is_answered_4xx_with_the_field(client: httpx2.Client) -> None:
    wrong = copy.deepcopy(WEBHOOK)
    wrong["alerts"][1]["status"] = "burning"
    answer = post(client, wrong)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "alerts[1].status"
    assert answer.json()["error"]["code"] == "invalid_alert"


def test_severity_of_the_users_own_making_loses_no_notification(client: httpx2.Client) -> None:
    own = copy.deepcopy(WEBHOOK)
    own["alerts"] = [own["alerts"][0] | {"fingerprint": "c0ffee0000000003"}]
    own["alerts"][0]["labels"]["severity"] = "sev1"
    answer = post(client, own)
    assert answer.status_code == 202
    found = client.get(f"/v1/incidents/{answer.json()['alerts'][0]['incident_id']}").json()
    assert (found["severity"], found["labels"]["severity"]) == ("P2", "sev1")


def test_notification_of_another_version_is_refused(client: httpx2.Client) -> None:
    answer = post(client, {**WEBHOOK, "version": "3"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "version"
