"""Silences, made, seen and ended over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from testing.live import LiveApp
from testing.receiver import Receiver
from testing.service import eventually

from incident_manager.app import create_app
from incident_manager.settings import Settings


@pytest.fixture
def live(url: str, tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[LiveApp]:
    """A service on each kind of database."""
    options: Any = {
        "data_dir": tmp_path_factory.mktemp("data"),
        "database_url": url,
        "destinations": {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}},
    }
    with LiveApp(create_app(Settings(**options))) as live:
        yield live


@pytest.fixture
def api(live: LiveApp) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def create(client: httpx2.Client, **changes: Any) -> Any:
    body = {"matchers": {"team": "db"}, "duration": 3600, "reason": "upgrade", "by": "ana", **changes}
    return client.post("/v1/silences", json=body).raise_for_status().json()


def report(client: httpx2.Client, title: str) -> Any:
    alert = {"title": title, "source": "test", "labels": {"team": "db", "title": title}}
    incident_id = client.post("/v1/alerts", json=alert).raise_for_status().json()["alerts"][0]["incident_id"]
    return client.get(f"/v1/incidents/{incident_id}").raise_for_status().json()


def notification(client: httpx2.Client, incident: Any) -> Any:
    [found] = client.get(f"/v1/incidents/{incident['id']}").raise_for_status().json()["notifications"]
    return found


def test_nobody_is_told_until_the_silence_is_ended(api: httpx2.Client) -> None:
    silence = create(api)
    assert silence["state"] == "active"
    held, other = report(api, "Disk full"), api.post("/v1/alerts", json={"title": "Other", "source": "test"}).json()
    told = other["alerts"][0]["incident_id"]
    eventually(lambda: notification(api, {"id": told}), lambda it: it["status"] == "delivered")
    assert notification(api, held)["status"] == "pending"
    ended = api.delete(f"/v1/silences/{silence['id']}").raise_for_status().json()
    assert ended["state"] == "ended"
    eventually(lambda: notification(api, held), lambda it: it["status"] == "delivered", timeout=10)


def test_silence_is_shown_in_its_state(api: httpx2.Client) -> None:
    now = datetime.now(UTC)
    active = create(api)
    pending = create(api, starts_at=(now + timedelta(hours=1)).isoformat())
    ended = create(api)
    api.delete(f"/v1/silences/{ended['id']}").raise_for_status()
    shown = {silence["id"]: silence["state"] for silence in api.get("/v1/silences").json()["silences"]}
    assert shown == {ended["id"]: "ended", pending["id"]: "pending", active["id"]: "active"}
    only = api.get("/v1/silences", params={"state": ["pending", "ended"], "limit": 1}).json()["silences"]
    assert [silence["id"] for silence in only] == [ended["id"], pending["id"]]
    assert api.get(f"/v1/silences/{active['id']}").json() == active


def test_every_change_of_a_silence_is_audited(api: httpx2.Client) -> None:
    silence = create(api)
    for _ in range(2):  # the second time changes nothing
        api.delete(f"/v1/silences/{silence['id']}").raise_for_status()
    found = [entry for entry in api.get("/v1/audit").json()["entries"] if entry["target"] == silence["id"]]
    assert [(entry["action"], entry["actor"]) for entry in found] == [("silence.end", "api"), ("silence.create", "ana")]
    assert found[0]["changes"]["state"] == {"from": "active", "to": "ended"}
    assert found[1]["changes"]["matchers"] == {"from": None, "to": {"team": "db"}}


def test_repetition_with_the_same_key_makes_one_silence(api: httpx2.Client) -> None:
    body = {"matchers": {"team": "db"}, "duration": 60, "reason": "upgrade"}
    headers = {"Idempotency-Key": "silence-1"}
    first, again = (api.post("/v1/silences", json=body, headers=headers) for _ in range(2))
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Location"] == first.headers["Location"] == f"/v1/silences/{first.json()['id']}"
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(api.get("/v1/silences").json()["silences"]) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"matchers": {}}, "matchers"),
        ({"matchers": {"team": ""}}, "matchers.team"),
        ({"duration": 0}, "duration"),
        ({"duration": 1e12}, "duration"),
        ({"duration": None}, "ends_at"),
        ({"ends_at": "2030-01-01T00:00:00Z"}, "ends_at"),
        ({"duration": None, "ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"duration": None, "ends_at": "9000-01-01T00:00:00Z"}, "ends_at"),
        ({"starts_at": "9999-12-31T23:59:59Z"}, "duration"),
        ({"starts_at": "2020-01-01T00:00:00Z"}, "duration"),
        ({"starts_at": "2026-01-01T00:00:00"}, "starts_at"),
        ({"reason": " "}, "reason"),
        ({"until": "tomorrow"}, "until"),
    ],
)
def test_what_is_wrong_with_a_silence_is_named(client: httpx2.Client, changes: dict[str, Any], field: str) -> None:
    body = {"matchers": {"team": "db"}, "duration": 3600, "reason": "upgrade", **changes}
    answer = client.post("/v1/silences", json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)


@pytest.mark.parametrize("silence_id", ["sil_1", "sil_" + "0" * 32])
def test_silence_that_does_not_exist_is_not_found(client: httpx2.Client, silence_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = client.request(method, f"/v1/silences/{silence_id}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "silence_not_found")
