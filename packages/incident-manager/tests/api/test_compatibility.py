"""What a policy engine calls, in its words."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from testing.live import LiveApp

from incident_manager.api.compatibility import follow
from incident_manager.api.compatibility_schemas import TheirStatus, TheirUpdate, their_incident
from incident_manager.app import create_app
from incident_manager.domain.errors import InvalidTransitionError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import open_by_hand
from incident_manager.domain.severity import Severity
from incident_manager.settings import Settings

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
LATER = AT + timedelta(minutes=1)
NEW = {
    "title": "A prompt asks for card numbers",
    "description": "Blocked.",
    "severity": "critical",
    "source": "policy-engine",
    "policy_id": "pci-3",
    "context": {"request": "r-17", "scores": [0.5, 0.97]},
    "tags": ["pii", "cards"],
}
ALERT = {"alert_type": "budget_exceeded", "message": "Budget is spent", "severity": "medium", "source": "policy-engine"}


def create(client: httpx2.Client, **changes: Any) -> Any:
    return client.post("/api/v1/incidents", json={**NEW, **changes}).raise_for_status().json()


def test_incident_is_reported_and_shown_in_its_words(client: httpx2.Client) -> None:
    made = create(client)
    assert {name: made[name] for name in NEW} == NEW
    assert (made["status"], made["rule_id"], made["assigned_to"]) == ("new", None, None)
    assert client.get(f"/api/v1/incidents/{made['id']}").json() == made


def test_reported_incident_is_one_of_ours_that_routes_can_tell(client: httpx2.Client) -> None:
    ours = client.get(f"/v1/incidents/{create(client)['id']}").json()
    assert (ours["severity"], ours["status"], ours["source"]) == ("P0", "detected", "policy-engine")
    assert ours["labels"] == {"policy_id": "pci-3", "tags": "pii,cards"}
    assert [notification["destination"] for notification in ours["notifications"]] == ["ops"]


@pytest.mark.parametrize(
    ("word", "severity"), [("info", "P4"), ("low", "P3"), ("medium", "P2"), ("high", "P1"), ("critical", "P0")]
)
def test_severities_are_translated_both_ways(client: httpx2.Client, word: str, severity: str) -> None:
    made = create(client, severity=word)
    assert (made["severity"], client.get(f"/v1/incidents/{made['id']}").json()["severity"]) == (word, severity)


def test_update_is_one_audited_change(client: httpx2.Client) -> None:
    made = create(client)
    body = {"status": "acknowledged", "assigned_to": "ana"}
    after = client.post(f"/api/v1/incidents/{made['id']}", json=body).raise_for_status().json()
    assert (after["status"], after["assigned_to"]) == ("acknowledged", "ana")
    assert client.get(f"/v1/incidents/{made['id']}").json()["version"] == 2
    entries = [entry for entry in client.get("/v1/audit").json()["entries"] if entry["target"] == made["id"]]
    assert [entry["action"] for entry in entries] == ["incident.change", "incident.create"]


def test_repetition_with_the_same_key_opens_one_incident(client: httpx2.Client) -> None:
    first, again = (
        client.post("/api/v1/incidents", json=NEW, headers={"Idempotency-Key": "policy-1"}) for _ in range(2)
    )
    assert (first.status_code, again.content) == (201, first.content)


def test_alerts_with_the_same_message_belong_to_one_incident(client: httpx2.Client) -> None:
    answers = [client.post("/api/v1/alerts", json={**ALERT, "message": text}) for text in ("A\nmore", "A\nmore", "B")]
    assert [answer.status_code for answer in answers] == [202] * 3
    first, second, other = [answer.json() for answer in answers]
    assert (first["action"], second["action"]) == ("opened", "updated")
    assert first["incident_id"] == second["incident_id"] != other["incident_id"]
    ours = client.get(f"/v1/incidents/{first['incident_id']}").json()
    assert (ours["title"], ours["description"], ours["labels"]) == ("A", "A\nmore", {"alert_type": "budget_exceeded"})


def test_alert_is_accepted_while_the_database_is_away(client: httpx2.Client, database_down: None) -> None:
    answer = client.post("/api/v1/alerts", json={**ALERT, "message": "While away"})
    assert (answer.status_code, answer.json()["action"]) == (202, "journaled")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("incidents", {**NEW, "severity": "terrible"}, "severity"),
        ("incidents", {**NEW, "title": " "}, "title"),
        ("incidents", {**NEW, "tags": ["a", ""]}, "tags[1]"),
        ("alerts", {**ALERT, "alert_type": "storm"}, "alert_type"),
        ("alerts", {**ALERT, "message": " \n "}, "message"),
        ("alerts", {}, "alert_type"),
    ],
)
def test_what_is_wrong_is_named(client: httpx2.Client, path: str, body: dict[str, Any], field: str) -> None:
    answer = client.post(f"/api/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)


def test_what_it_sends_beyond_the_contract_is_left_aside(client: httpx2.Client) -> None:
    assert create(client, trace_id="t-1")["status"] == "new"


TOKENS = {role: f"{role}-token-0123456789abcdef0123456789" for role in ("ingest", "read", "respond")}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[httpx2.Client]:
    tokens: Any = {role: {"roles": [role], "token": token} for role, token in TOKENS.items()}
    with LiveApp(create_app(Settings(data_dir=tmp_path, tokens=tokens))) as live, live.client() as client:
        yield client


def test_each_call_needs_its_role(guarded: httpx2.Client) -> None:
    def ask(role: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {TOKENS[role]}"}
        return guarded.request(method, f"/api/v1/{path}", json=body, headers=headers)

    made = ask("ingest", "POST", "incidents", NEW).raise_for_status().json()
    ask("ingest", "POST", "alerts", ALERT).raise_for_status()
    ask("read", "GET", f"incidents/{made['id']}").raise_for_status()
    ask("respond", "POST", f"incidents/{made['id']}", {"status": "closed"}).raise_for_status()
    for role, method, path, body in (
        ("read", "POST", "incidents", NEW),
        ("respond", "POST", "alerts", ALERT),
        ("ingest", "GET", f"incidents/{made['id']}", None),
        ("ingest", "POST", f"incidents/{made['id']}", {"status": "closed"}),
    ):
        assert ask(role, method, path, body).status_code == 403, (role, path)


# The translation


def incident() -> Incident:
    return open_by_hand(title="t", severity=Severity.P2, by="bot", at=AT)[0]


def after(*statuses: str, **more: Any) -> Incident:
    found = incident()
    for status in statuses:
        found, _ = follow(found, TheirUpdate(status=TheirStatus(status), **more), "ana", LATER)
    return found


@pytest.mark.parametrize(
    ("statuses", "ours"),
    [
        ((), Status.DETECTED),
        (("acknowledged",), Status.DETECTED),
        (("in_progress",), Status.INVESTIGATING),
        (("acknowledged", "in_progress"), Status.INVESTIGATING),
        (("resolved",), Status.RESOLVED),
        (("closed",), Status.CLOSED),
        (("in_progress", "resolved", "closed"), Status.CLOSED),
    ],
)
def test_each_status_is_reached_and_shown_again(statuses: tuple[str, ...], ours: Status) -> None:
    found = after(*statuses)
    assert found.status is ours
    assert their_incident(found).status == (statuses[-1] if statuses else "new")


@pytest.mark.parametrize("status", ["new", "acknowledged", "in_progress", "resolved", "closed"])
def test_what_is_so_already_changes_nothing(status: str) -> None:
    found = incident() if status == "new" else after(status)
    wanted = TheirUpdate(status=TheirStatus(status))
    if status == "acknowledged":
        assert follow(found, wanted, "bo", LATER)[0].acknowledged_by == "ana"
    assert follow(found, wanted, "bo", LATER) == (found, [])


def test_resolution_is_kept_by_whatever_ends_it() -> None:
    for status in ("resolved", "closed"):
        assert after(status, resolution="blocked").resolution == "blocked"


def test_each_update_is_one_version() -> None:
    assert after("closed", assigned_to="ana", resolution="blocked").version == incident().version + 1


@pytest.mark.parametrize(
    ("reached", "wanted"), [("acknowledged", "new"), ("closed", "resolved"), ("resolved", "acknowledged")]
)
def test_nothing_goes_back(reached: str, wanted: str) -> None:
    with pytest.raises(InvalidTransitionError):
        follow(after(reached), TheirUpdate(status=TheirStatus(wanted)), "bo", LATER)
