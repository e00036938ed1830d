"""/v1/stream: what happens, as it happens, to everybody who follows, and nothing missed in between."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from testing.live import LiveApp
from testing.service import eventually

from incident_manager.app import create_app
from incident_manager.settings import Settings


class Follower:
    """A client of the stream that reads event by event."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def next(self) -> dict[str, Any]:
        """The next event, comments left out. Raises StopIteration when the stream has ended."""
        event: dict[str, Any] = {}
        while True:
            line = next(self._lines)
            name, _, value = line.partition(": ")
            if line and name:
                event[name] = json.loads(value) if name == "data" else value
            elif not line and event:
                return event

    def until(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        while (event := self.next())["event"] != name:
            pass
        return event

    def joined(self) -> Self:
        """Come in: what happens from here on is told."""
        self.until("joined")
        return self


@contextmanager
def follow(live: LiveApp, last_id: str | None = None, **params: Any) -> Iterator[Follower]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with live.client() as client, client.stream("GET", "/v1/stream", params=params, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield Follower(answer)


def create(client: httpx2.Client, **fields: Any) -> Any:
    body = {"title": "Checkout is slow", "severity": "high", **fields}
    return client.post("/v1/incidents", json=body).raise_for_status().json()


def test_an_incident_is_told_from_its_opening_to_its_end(service: LiveApp, client: httpx2.Client) -> None:
    with follow(service, topic="incidents") as follower:
        assert follower.answer.headers["content-type"].startswith("text/event-stream")
        follower.joined()
        incident = create(client, by="ana")
        path = f"/v1/incidents/{incident['id']}"
        client.post(f"{path}/ack", json={"by": "bo"}).raise_for_status()
        client.post(f"{path}/resolve", json={"by": "bo"}).raise_for_status()
        told = [follower.next() for _ in range(3)]
        while told[-1]["event"] != "incident.resolved":
            told.append(follower.next())
    by_kind = {event["data"]["kind"]: event for event in told}
    assert by_kind["opened"]["event"] == "incident.opened"
    assert by_kind["acknowledged"]["event"] == "incident.changed"
    assert by_kind["resolved"]["data"]["incident"]["status"] == "resolved"
    assert {event["data"]["incident"]["id"] for event in told} == {incident["id"]}
    ids = [int(event["id"]) for event in told]
    assert ids == sorted(set(ids))


def test_a_client_that_comes_back_misses_nothing_and_gets_nothing_twice(
    service: LiveApp, client: httpx2.Client
) -> None:
    with follow(service, source="resumed") as follower:
        follower.joined()
        first = create(client, source="resumed", title="first")
        seen = follower.until("incident.opened")
    missed = [create(client, source="resumed", title=f"missed {number}") for number in range(3)]
    with follow(service, last_id=seen["id"], source="resumed") as follower:
        told = [follower.until("incident.opened") for _ in range(3)]
        follower.joined()
        later = create(client, source="resumed", title="later")
        told.append(follower.until("incident.opened"))
    found = [event["data"]["incident"]["id"] for event in told]
    assert found == [incident["id"] for incident in [*missed, later]]
    assert first["id"] not in found


def test_a_client_gets_what_it_asks_for(service: LiveApp, client: httpx2.Client) -> None:
    with follow(service, severity="critical", topic="incidents") as follower:
        follower.joined()
        create(client, severity="low")
        worst = create(client, severity="critical")
        assert follower.next()["data"]["incident"]["id"] == worst["id"]


def test_circuits_are_told_at_the_beginning_and_when_they_change(service: LiveApp, client: httpx2.Client) -> None:
    with follow(service, topic="circuit_breakers") as follower:
        event = follower.next()
        assert event["event"] == "circuit_breakers"
        assert "id" not in event
        states = {each["name"]: each["control"] for each in event["data"]["circuit_breakers"]}
        assert states["notify:ops"] == "automatic"
        client.post("/v1/circuit-breakers/notify:ops/open", json={"reason": "moved"}).raise_for_status()
        while (event := follower.until("circuit_breaker"))["data"]["control"] is None:
            pass
        assert event["data"] | {"name": "notify:ops", "control": "forced_open", "reason": "moved"} == event["data"]


def test_what_another_process_changes_is_told_too(tmp_path: Path) -> None:
    with (
        LiveApp(create_app(Settings(data_dir=tmp_path))) as one,
        LiveApp(create_app(Settings(data_dir=tmp_path))) as two,
        two.client() as there,
        follow(one) as follower,
    ):
        follower.joined()
        incident = create(there)
        assert follower.until("incident.opened")["data"]["incident"]["id"] == incident["id"]


def test_an_id_goes_on_in_another_process(tmp_path: Path) -> None:
    with LiveApp(create_app(Settings(data_dir=tmp_path))) as live, live.client() as client, follow(live) as follower:
        follower.joined()
        create(client)
        seen = follower.until("incident.opened")["id"]
        missed = create(client)
    with LiveApp(create_app(Settings(data_dir=tmp_path))) as live, follow(live, last_id=seen) as follower:
        assert follower.until("incident.opened")["data"]["incident"]["id"] == missed["id"]


def test_the_end_of_the_service_ends_the_stream_at_once(tmp_path: Path) -> None:
    live = LiveApp(create_app(Settings(data_dir=tmp_path))).start()
    with follow(live) as follower:
        follower.joined()
        before = time.monotonic()
        live.stop()
        assert time.monotonic() - before < 20  # a request that does not end is waited for 30 s
        with pytest.raises(StopIteration):
            while True:
                follower.next()


def test_as_many_clients_may_follow_as_is_set(tmp_path: Path) -> None:
    access: Any = {"max_streams": 1}
    with LiveApp(create_app(Settings(data_dir=tmp_path, access=access))) as live, live.client() as client:
        with follow(live) as follower:
            follower.joined()
            answer = client.get("/v1/stream")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_streams")
            assert "Retry-After" in answer.headers

        def follows_again() -> bool:
            with client.stream("GET", "/v1/stream") as answer:
                return answer.status_code == 200

        assert eventually(follows_again, bool)


def test_a_revoked_token_is_cut_off(tmp_path: Path) -> None:
    with LiveApp(create_app(Settings(data_dir=tmp_path, auth="tokens", tokens=ADMIN))) as live:
        admin = {"Authorization": "Bearer " + "a" * 40}
        with live.client() as client:
            made = client.post("/v1/tokens", json={"name": "x", "roles": ["read"]}, headers=admin).json()
            headers = {"Authorization": f"Bearer {made['token']}"}
            with client.stream("GET", "/v1/stream", headers=headers) as answer, live.client() as other:
                follower = Follower(answer).joined()
                other.delete(f"/v1/tokens/{made['id']}", headers=admin).raise_for_status()
                # It is looked at when there is something to be told.
                reset = "/v1/circuit-breakers/database/close"
                other.post(reset, json={"reason": "x"}, headers=admin).raise_for_status()
                with pytest.raises(StopIteration):
                    while True:
                        follower.next()


ADMIN: Any = {"root": {"roles": ["admin"], "token": "a" * 40}}


@pytest.mark.parametrize("last_id", ["x", "-1", "1.5", "9" * 30])
def test_an_id_that_no_event_had_is_refused(client: httpx2.Client, last_id: str) -> None:
    answer = client.get("/v1/stream", headers={"Last-Event-ID": last_id})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "Last-Event-ID")
