"""POST /v1/alerts: our own format."""

import json
from typing import Any

import httpx2
import pytest
from testing.service import eventually

ALERT = {"source": "backup", "title": "Nightly backup failed", "severity": "high", "labels": {"host": "db-1"}}


def post(client: httpx2.Client, body: object) -> httpx2.Response:
    return client.post("/v1/alerts", json=body)


def incident(client: httpx2.Client, incident_id: str) -> Any:
    return client.get(f"/v1/incidents/{incident_id}").raise_for_status().json()


def count(client: httpx2.Client) -> int:
    """How many incidents there are, with one page of them all."""
    page = client.get("/v1/incidents", params={"limit": 200}).raise_for_status().json()
    assert page["next_cursor"] is None
    return len(page["incidents"])


def test_alert_is_accepted_and_becomes_an_incident(client: httpx2.Client) -> None:
    answer = post(client, ALERT)
    assert answer.status_code == 202
    [accepted] = answer.json()["alerts"]
    assert accepted["action"] == "opened"
    assert accepted["alert_id"].startswith("alt_")
    found = incident(client, accepted["incident_id"])
    assert (found["title"], found["severity"], found["status"]) == ("Nightly backup failed", "P1", "detected")
    assert (found["source"], found["labels"], found["alert_count"]) == ("backup", {"host": "db-1"}, 1)


def test_batch_answers_in_its_order(client: httpx2.Client) -> None:
    batch = {"alerts": [{"title": f"batch {number}", "dedup_key": f"batch {number}"} for number in range(3)]}
    accepted = post(client, batch).raise_for_status().json()["alerts"]
    titles = [incident(client, item["incident_id"])["title"] for item in accepted]
    assert titles == ["batch 0", "batch 1", "batch 2"]


def test_repeated_alert_updates_its_incident(client: httpx2.Client) -> None:
    alert = {"title": "Slow queries", "dedup_key": "slow-queries"}
    first, second = (post(client, alert).json()["alerts"][0] for _ in range(2))
    assert (first["action"], second["action"]) == ("opened", "updated")
    assert first["incident_id"] == second["incident_id"]
    assert incident(client, first["incident_id"])["alert_count"] == 2


def test_resolved_alert_ends_its_incident(client: httpx2.Client) -> None:
    alert = {"title": "Queue grows", "dedup_key": "queue"}
    opened = post(client, alert).json()["alerts"][0]
    resolved = post(client, {**alert, "status": "resolved"}).json()["alerts"][0]
    assert resolved["action"] == "resolved"
    assert resolved["incident_id"] == opened["incident_id"]
    assert incident(client, opened["incident_id"])["status"] == "resolved"


def test_resolved_alert_without_incident_is_taken_and_opens_none(client: httpx2.Client) -> None:
    before = count(client)
    answer = post(client, {"title": "Never seen", "dedup_key": "never-seen", "status": "resolved"})
    assert answer.status_code == 202
    assert answer.json()["alerts"][0] == {
        "alert_id": answer.json()["alerts"][0]["alert_id"],
        "incident_id": None,
        "action": "ignored",
    }
    assert count(client) == before


WRONG: dict[str, tuple[object, str]] = {
    "no title": ({"source": "x"}, "title"),
    "blank title": ({"title": "  "}, "title"),
    "severity unknown": ({"title": "x", "severity": "catastrophic"}, "severity"),
    "misspelt field": ({"title": "x", "severty": "high"}, "severty"),
    "label is a number": ({"title": "x", "labels": {"port": 80}}, "labels.port"),
    "time without zone": ({"title": "x", "starts_at": "2026-01-31T10:05:00"}, "starts_at"),
    "third of a batch": (
        {"alerts": [{"title": "a"}, {"title": "b"}, {"title": "c", "status": "on"}]},
        "alerts[2].status",
    ),
    "empty batch": ({"alerts": []}, "alerts"),
    "list": ([{"title": "x"}], "body"),
    "text": ("x", "body"),
    "null": (None, "body"),
}


@pytest.mark.parametrize(("body", "field"), WRONG.values(), ids=WRONG.keys())
def test_wrong_alert_is_refused_by_field_and_nothing_is_stored(client: httpx2.Client, body: object, field: str) -> None:
    before = count(client)
    answer = client.post("/v1/alerts", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == field
    assert error["message"]
    assert count(client) == before


def test_missing_body_is_refused(client: httpx2.Client) -> None:
    answer = client.post("/v1/alerts")
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "body"


def test_alert_that_arrives_while_the_database_is_away_is_accepted_into_the_journal(
    client: httpx2.Client, database_down: None
) -> None:
    answer = post(client, {"title": "Sent while the database is away", "dedup_key": "while-away"})
    assert answer.status_code == 202
    [accepted] = answer.json()["alerts"]
    assert (accepted["action"], accepted["incident_id"]) == ("journaled", None)
    assert client.get("/health").json()["journal"]["waiting"] == 1
    client.post("/v1/circuit-breakers/database/reset").raise_for_status()
    eventually(lambda: client.get("/health").json()["journal"]["waiting"], lambda waiting: waiting == 0)
    titles = [incident["title"] for incident in client.get("/v1/incidents").json()["incidents"]]
    assert titles.count("Sent while the database is away") == 1
