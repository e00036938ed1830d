"""/v1/circuit-breakers/kpis and .../transitions: what the circuit breakers went through."""

from typing import Any

import httpx2
import pytest
from testing.service import eventually

KPIS = "/v1/circuit-breakers/kpis"
BREAKER = "/v1/circuit-breakers/notify:ops"


def kpis(client: httpx2.Client, name: str = "notify:ops", window: str = "1h") -> Any:
    found = client.get(KPIS, params={"window": window}).raise_for_status().json()["circuit_breakers"]
    [one] = [breaker for breaker in found if breaker["name"] == name]
    return one


def transitions(client: httpx2.Client, count: int) -> Any:
    """The newest ones, as soon as there are so many."""
    return eventually(
        lambda: client.get(f"{BREAKER}/transitions").raise_for_status().json()["transitions"],
        lambda found: len(found) >= count,
    )


def test_kpis_name_every_breaker_and_the_window(client: httpx2.Client) -> None:
    found = client.get(KPIS).raise_for_status().json()
    assert [breaker["name"] for breaker in found["circuit_breakers"]] == ["database", "notify:ops"]
    assert found["window"] == 86400.0
    assert found["since"] < found["history_since"] < found["until"]
    assert len(found["total"]["slices"]) == 24


def test_kpis_hold_the_present_moment(client: httpx2.Client) -> None:
    before = kpis(client)
    client.post(f"{BREAKER}/open", json={"reason": "maintenance"}).raise_for_status()
    after = kpis(client)
    assert after["openings"] == before["openings"] + 1
    assert kpis(client, "database")["succeeded"] > 0
    assert kpis(client, "database")["availability"] == 1.0


def test_calls_that_the_database_breaker_rejected_are_counted(client: httpx2.Client) -> None:
    before = kpis(client, "database")["rejected"]
    client.post("/v1/circuit-breakers/database/open", json={"reason": "test"}).raise_for_status()
    refused = client.get(KPIS)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
    assert "retry-after" in refused.headers
    client.post("/v1/circuit-breakers/database/reset").raise_for_status()
    assert kpis(client, "database")["rejected"] > before
    assert kpis(client, "database")["failures_avoided"] == 0  # an operator held them off


@pytest.mark.parametrize("window", ["1h", "7d", "PT90M", "3600"])
def test_window_is_as_long_as_asked(client: httpx2.Client, window: str) -> None:
    seconds = {"1h": 3600, "7d": 604800, "PT90M": 5400, "3600": 3600}[window]
    assert client.get(KPIS, params={"window": window}).raise_for_status().json()["window"] == seconds


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("yesterday", "window must be a duration such as 1h, 24h, 7d, PT90M or 3600 (seconds); given 'yesterday'"),
        ("1s", "window must be 1 minute to 90 days; given '1s'"),
        ("91d", "window must be 1 minute to 90 days; given '91d'"),
    ],
)
def test_window_that_is_none_is_refused(client: httpx2.Client, window: str, message: str) -> None:
    answer = client.get(KPIS, params={"window": window})
    assert answer.status_code == 422
    assert (answer.json()["error"]["field"], answer.json()["error"]["message"]) == ("window", message)


def test_transitions_are_listed_newest_first_page_by_page(client: httpx2.Client) -> None:
    for reason in ("one", "two"):
        client.post(f"{BREAKER}/open", json={"reason": reason}).raise_for_status()
        client.post(f"{BREAKER}/reset", json={"reason": f"end of {reason}"}).raise_for_status()
    found = eventually(lambda: transitions(client, 4)[:4], lambda newest: newest[0]["detail"] == "end of two")
    assert [one["detail"] for one in found] == ["end of two", "two", "end of one", "one"]
    assert [one["to_state"] for one in found] == ["closed", "open", "closed", "open"]
    assert all(one["by_operator"] and one["reason"] == "operator" for one in found)
    first = client.get(f"{BREAKER}/transitions", params={"limit": 3}).raise_for_status().json()
    assert first["transitions"] == found[:3]
    second = client.get(f"{BREAKER}/transitions", params={"limit": 1, "cursor": first["next_cursor"]})
    assert second.raise_for_status().json()["transitions"] == found[3:]


def test_page_ends(client: httpx2.Client) -> None:
    client.post(f"{BREAKER}/open", json={"reason": "test"}).raise_for_status()
    transitions(client, 1)
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = client.get(f"{BREAKER}/transitions", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        cursor, pages = page.raise_for_status().json()["next_cursor"], pages + 1
        assert pages < 100
    assert page.json()["transitions"]


def test_breaker_without_history_has_an_empty_page_and_a_stranger_none(client: httpx2.Client) -> None:
    assert client.get("/v1/circuit-breakers/database/transitions").status_code == 200
    for stranger in ("databse", "a%00b"):
        answer = client.get(f"/v1/circuit-breakers/{stranger}/transitions")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "circuit_breaker_not_found")


@pytest.mark.parametrize("cursor", ["", "17", "before-", "before-x", "before-" + "9" * 19])
def test_cursor_that_is_not_ours_is_refused(client: httpx2.Client, cursor: str) -> None:
    answer = client.get(f"{BREAKER}/transitions", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "cursor")
