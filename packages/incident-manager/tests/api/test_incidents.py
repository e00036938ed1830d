"""/v1/incidents: seen, reported, changed, acknowledged and resolved."""

from typing import Any

import httpx2
import pytest
from testing.receiver import Receiver
from testing.service import eventually

UNKNOWN = "inc_" + "0" * 32


def create(client: httpx2.Client, **fields: object) -> Any:
    body = {"title": "Checkout is slow", "severity": "high", **fields}
    return client.post("/v1/incidents", json=body).raise_for_status().json()


def read(client: httpx2.Client, incident: dict[str, Any]) -> Any:
    return client.get(f"/v1/incidents/{incident['id']}").raise_for_status().json()


def error(answer: httpx2.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_reported_incident_says_where_it_is(client: httpx2.Client) -> None:
    body = {"title": " Checkout is slow ", "severity": "critical", "by": "ana", "labels": {"team": "shop"}}
    answer = client.post("/v1/incidents", json=body)
    assert answer.status_code == 201
    incident = answer.json()
    assert answer.headers["Location"] == f"/v1/incidents/{incident['id']}"
    assert client.get(answer.headers["Location"]).json()["title"] == "Checkout is slow"
    assert (incident["severity"], incident["status"], incident["version"]) == ("P0", "detected", 1)
    assert incident["labels"] == {"team": "shop"}


def test_incident_shows_its_history_and_its_notifications(client: httpx2.Client, receiver: Receiver) -> None:
    incident = create(client, title="With history", by="ana")
    client.post(f"/v1/incidents/{incident['id']}/ack", json={"by": "bo"}).raise_for_status()
    found = eventually(
        lambda: read(client, incident),
        lambda found: [entry["status"] for entry in found["notifications"]] == ["delivered", "delivered"],
    )
    kinds = [(entry["kind"], entry["actor"]) for entry in found["timeline"]]
    assert ("opened", "ana") in kinds
    assert ("acknowledged", "bo") in kinds
    assert ("notification_delivered", "system") in kinds
    assert [entry["event"] for entry in found["notifications"]] == ["triggered", "acknowledged"]
    ids = {request.headers["webhook-id"] for request in receiver.requests}
    assert {entry["id"] for entry in found["notifications"]} <= ids


def test_list_is_newest_first_and_pages_to_its_end(client: httpx2.Client) -> None:
    made = [create(client, title=f"page {number}", severity="info")["id"] for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params: dict[str, Any] = {"limit": 2, "severity": "P4"} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/incidents", params=params).raise_for_status().json()
        assert len(page["incidents"]) <= 2
        seen += [incident["id"] for incident in page["incidents"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(made, reverse=True)


def test_list_can_be_narrowed_by_status_and_severity(client: httpx2.Client) -> None:
    low = create(client, severity="low")
    medium = create(client, severity="medium")
    client.post(f"/v1/incidents/{medium['id']}/resolve").raise_for_status()

    def listed(**params: Any) -> set[str]:
        page = client.get("/v1/incidents", params=params).raise_for_status().json()
        return {incident["id"] for incident in page["incidents"]}

    assert listed(severity="low") == {low["id"]}
    assert listed(severity=["P3", "warning"]) == {low["id"], medium["id"]}
    assert medium["id"] in listed(status="resolved")
    assert low["id"] not in listed(status="resolved")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"status": "burning"}, "status[0]"),
        ({"severity": "P9"}, "severity[0]"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "\N{ROCKET}"}, "cursor"),
    ],
)
def test_wrong_query_is_refused_by_name(client: httpx2.Client, params: dict[str, Any], field: str) -> None:
    assert error(client.get("/v1/incidents", params=params), 422)["field"] == field


def test_patch_changes_what_it_names_and_nothing_else(client: httpx2.Client) -> None:
    incident = create(client, description="It began at noon.")
    change = {"title": "Checkout is down", "severity": "P0", "assignee": "bo", "status": "investigating", "by": "bo"}
    changed = client.patch(f"/v1/incidents/{incident['id']}", json=change).raise_for_status().json()
    assert {key: changed[key] for key in ("title", "severity", "assignee", "status")} == {
        "title": "Checkout is down",
        "severity": "P0",
        "assignee": "bo",
        "status": "investigating",
    }
    assert changed["description"] == "It began at noon."
    assert changed["version"] == 2
    assert read(client, incident)["title"] == "Checkout is down"


def test_note_goes_into_the_timeline(client: httpx2.Client) -> None:
    incident = create(client)
    note = {"note": "The cache is cold.", "by": "bo"}
    client.patch(f"/v1/incidents/{incident['id']}", json=note).raise_for_status()
    [entry] = [entry for entry in read(client, incident)["timeline"] if entry["kind"] == "note"]
    assert (entry["actor"], entry["message"]) == ("bo", "The cache is cold.")


def test_change_from_an_outdated_reading_is_refused(client: httpx2.Client) -> None:
    incident = create(client)
    path = f"/v1/incidents/{incident['id']}"
    client.patch(path, json={"version": 1, "assignee": "ana"}).raise_for_status()
    for answer in (
        client.patch(path, json={"version": 1, "assignee": "bo"}),
        client.post(f"{path}/ack", json={"version": 1}),
        client.post(f"{path}/resolve", json={"version": 1}),
    ):
        assert error(answer, 409)["code"] == "version_conflict"
    assert read(client, incident)["assignee"] == "ana"


WRONG_PATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "body"),
    "only who": ({"by": "ana"}, "body"),
    "unknown field": ({"titel": "x"}, "titel"),
    "blank title": ({"title": " "}, "title"),
    "unknown severity": ({"severity": "bad"}, "severity"),
    "unknown status": ({"status": "done"}, "status"),
    "version is text": ({"version": "latest", "note": "x"}, "version"),
    "title too long": ({"title": "x" * 501}, "title"),
}


@pytest.mark.parametrize(("body", "field"), WRONG_PATCHES.values(), ids=WRONG_PATCHES.keys())
def test_wrong_patch_is_refused_by_field(client: httpx2.Client, body: dict[str, Any], field: str) -> None:
    incident = create(client)
    assert error(client.patch(f"/v1/incidents/{incident['id']}", json=body), 422)["field"] == field
    assert read(client, incident)["version"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": "x"}, "severity"),
        ({"severity": "high"}, "title"),
        ({"title": "x", "severity": "P1", "id": "y"}, "id"),
    ],
)
def test_wrong_report_is_refused_by_field(client: httpx2.Client, body: dict[str, Any], field: str) -> None:
    assert error(client.post("/v1/incidents", json=body), 422)["field"] == field


def test_first_acknowledgement_stays(client: httpx2.Client) -> None:
    path = f"/v1/incidents/{create(client)['id']}/ack"
    first = client.post(path, json={"by": "ana"}).raise_for_status().json()
    second = client.post(path, json={"by": "bo"}).raise_for_status().json()
    assert first["acknowledged_by"] == "ana"
    assert second == first


def test_acknowledging_and_resolving_need_no_body(client: httpx2.Client) -> None:
    path = f"/v1/incidents/{create(client)['id']}"
    assert client.post(f"{path}/ack").raise_for_status().json()["acknowledged_by"] == "api"
    assert client.post(f"{path}/resolve").raise_for_status().json()["resolved_by"] == "api"


def test_resolved_incident_says_who_and_how_and_is_final(client: httpx2.Client) -> None:
    path = f"/v1/incidents/{create(client)['id']}"
    body = {"by": "bo", "resolution": "Warmed the cache."}
    resolved = client.post(f"{path}/resolve", json=body).raise_for_status().json()
    assert (resolved["status"], resolved["resolved_by"]) == ("resolved", "bo")
    assert resolved["resolution"] == "Warmed the cache."
    assert resolved["resolved_at"].endswith("Z")
    for answer in (
        client.post(f"{path}/resolve"),
        client.post(f"{path}/ack"),
        client.patch(path, json={"status": "investigating"}),
    ):
        assert error(answer, 409)["code"] == "invalid_transition"
    assert client.patch(path, json={"status": "closed"}).raise_for_status().json()["status"] == "closed"


REQUESTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("PATCH", "", {"note": "x"}),
    ("POST", "/ack", {}),
    ("POST", "/resolve", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
@pytest.mark.parametrize("incident_id", [UNKNOWN, "nonsense", "%00"])
def test_unknown_incident_is_404(
    client: httpx2.Client, method: str, path: str, body: dict[str, Any] | None, incident_id: str
) -> None:
    answer = client.request(method, f"/v1/incidents/{incident_id}{path}", json=body)
    assert error(answer, 404)["code"] == "incident_not_found"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("POST", "", {"title": "x", "severity": "P1"}),
        *((method, f"/{UNKNOWN}{path}", body) for method, path, body in REQUESTS),
    ],
)
def test_every_route_says_503_and_when_to_come_back_while_the_database_is_away(
    client: httpx2.Client, database_down: None, method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = client.request(method, f"/v1/incidents{path}", json=body)
    assert error(answer, 503)["code"] == "store_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1


def test_incident_shows_the_others_of_its_group(client: httpx2.Client) -> None:
    first, second = create(client, labels={"grid": "north"}), create(client, title="Lift", labels={"grid": "north"})
    assert create(client, labels={"grid": "south"})["id"] not in (first["id"], second["id"])
    shown = eventually(lambda: read(client, second), lambda shown: shown["group"] is not None)
    assert (shown["group"]["rule"], shown["group"]["labels"]) == ("grid", {"grid": "north"})
    assert [one["id"] for one in shown["group"]["related"]] == [first["id"]]
    listed = client.get("/v1/incidents", params={"group": shown["group"]["id"]}).raise_for_status().json()
    assert {incident["id"] for incident in listed["incidents"]} == {first["id"], second["id"]}
    assert read(client, create(client))["group"] is None
