"""recloser's dashboard at `/breakers/`, with the roles and the audit of the service."""

import re
from collections.abc import Callable

import httpx2

from .conftest import Visitor

Visit = Callable[[str], Visitor]


def operate(browser: Visitor, operation: str) -> httpx2.Response:
    origin = {"Origin": str(browser.client.base_url)}
    order = {"breaker": "notify:ops", "operation": operation, "reason": "moved"}
    return browser.client.post("/breakers/api/control", json=order, headers=origin)


def test_who_may_read_sees_the_breakers_and_may_not_operate_them(visitor: Visit, api: httpx2.Client) -> None:
    for role in ("read", "respond"):
        browser = visitor(role)
        assert "notify:ops" in browser.get("/breakers/").text
        assert operate(browser, "open").status_code == 403
    assert api.get("/v1/circuit-breakers/notify:ops").json()["control"] == "automatic"


def test_admin_operates_them_and_it_is_audited(visitor: Visit, api: httpx2.Client) -> None:
    browser = visitor("admin")
    for operation, control in (("open", "forced_open"), ("reset", "automatic")):
        assert operate(browser, operation).status_code == 200
        assert api.get("/v1/circuit-breakers/notify:ops").json()["control"] == control
        entry = api.get("/v1/audit").json()["entries"][0]
        assert (entry["action"], entry["target"]) == (f"circuit_breaker.{operation}", "notify:ops")
        assert (entry["actor"], entry["token_id"]) == ("admin", "settings:admin")
        assert entry["changes"]["reason"]["to"] == "moved"


def test_stranger_sees_nothing_of_them(stranger: Visitor) -> None:
    for path in ("/breakers/", "/breakers/api/breakers", "/breakers/events", "/breakers/static/dashboard.js"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/login")


def test_address_without_a_slash_leads_there(visitor: Visit) -> None:
    answer = visitor("read").get("/breakers")
    assert re.search(r"/breakers/$", answer.headers["Location"])
