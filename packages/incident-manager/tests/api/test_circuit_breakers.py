"""/v1/circuit-breakers: seen and operated."""

from typing import Any

import httpx2
import pytest

BREAKER = "/v1/circuit-breakers/notify:ops"


def health(client: httpx2.Client) -> Any:
    return client.get("/v1/circuit-breakers/health").raise_for_status().json()


def test_list_holds_every_breaker_of_the_service(client: httpx2.Client) -> None:
    found = client.get("/v1/circuit-breakers").raise_for_status().json()["circuit_breakers"]
    assert [breaker["name"] for breaker in found] == ["database", "notify:ops"]
    assert {breaker["state"] for breaker in found} == {"closed"}


def test_one_breaker_shows_state_counts_and_control(client: httpx2.Client) -> None:
    client.get("/v1/incidents").raise_for_status()
    found = client.get("/v1/circuit-breakers/database").raise_for_status().json()
    assert (found["name"], found["state"], found["control"]) == ("database", "closed", "automatic")
    assert found["successful"] >= 1
    assert found["calls"]["success"] + found["calls"]["slow"] == found["successful"]
    assert found["control_reason"] is None
    assert found["since"].endswith("Z")


def test_opened_breaker_rejects_until_it_is_reset(client: httpx2.Client) -> None:
    path = "/v1/circuit-breakers/database"
    opened = client.post(f"{path}/open", json={"reason": "maintenance"}).raise_for_status().json()
    assert (opened["state"], opened["control"], opened["control_reason"]) == ("open", "forced_open", "maintenance")
    assert opened["retry_after"] is None
    assert client.get("/v1/incidents").status_code == 503
    assert client.get(path).json()["rejected"] > opened["rejected"]
    reset = client.post(f"{path}/reset", json={"reason": "done"}).raise_for_status().json()
    assert (reset["state"], reset["control"]) == ("closed", "automatic")
    assert client.get("/v1/incidents").status_code == 200


def test_closed_breaker_lets_calls_through(client: httpx2.Client) -> None:
    client.post(f"{BREAKER}/open", json={"reason": "first"}).raise_for_status()
    closed = client.post(f"{BREAKER}/close", json={"reason": "trust it"}).raise_for_status().json()
    assert (closed["state"], closed["control"], closed["control_reason"]) == ("closed", "forced_closed", "trust it")


def test_reset_all_resets_all_and_names_them(client: httpx2.Client) -> None:
    for name in ("database", "notify:ops"):
        client.post(f"/v1/circuit-breakers/{name}/open", json={"reason": "test"}).raise_for_status()
    assert health(client) == {"total": 2, "closed": 0, "open": 2, "half_open": 0, "healthy": False}
    answer = client.post("/v1/circuit-breakers/reset-all", json={"reason": "all is well"}).raise_for_status()
    assert answer.json() == {"reset": ["database", "notify:ops"]}
    assert health(client) == {"total": 2, "closed": 2, "open": 0, "half_open": 0, "healthy": True}


@pytest.mark.parametrize("path", ["/reset-all", "/notify:ops/reset"])
def test_reset_needs_no_body(client: httpx2.Client, path: str) -> None:
    client.post(f"/v1/circuit-breakers{path}").raise_for_status()
    assert health(client)["healthy"]


@pytest.mark.parametrize("action", ["open", "close"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": 7}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "x", "for": 60}, "for"),
        ("maintenance", "body"),
    ],
)
def test_operator_must_say_why(client: httpx2.Client, action: str, body: object, field: str) -> None:
    answer = client.post(f"{BREAKER}/{action}", **({} if body is None else {"json": body}))
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"] == field
    assert client.get(BREAKER).json()["control"] == "automatic"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", "/open"), ("POST", "/close"), ("POST", "/reset")],
)
def test_unknown_breaker_is_404_and_the_nearest_name_is_given(client: httpx2.Client, method: str, path: str) -> None:
    answer = client.request(method, f"/v1/circuit-breakers/databse{path}", json={"reason": "x"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "circuit_breaker_not_found"
    assert "did you mean 'database'" in error["message"]
