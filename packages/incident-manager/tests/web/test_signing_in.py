"""A browser shows a token once, and is known by its session from then on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from testing.live import LiveApp

from incident_manager.app import create_app
from incident_manager.settings import Settings

from .conftest import TOKENS, Visitor, settings


@pytest.mark.parametrize("path", ["/", "/incidents/inc_0", "/deliveries", "/silences", "/breakers/"])
def test_stranger_is_led_to_sign_in_and_back(stranger: Visitor, path: str) -> None:
    answer = stranger.get(f"{path}?text=disk")
    assert answer.status_code == 303
    there = stranger.get(answer.headers["Location"])
    assert 'type="password"' in there.text
    signed_in = stranger.send(answer.headers["Location"], "/login", token=TOKENS["read"])
    assert signed_in.headers["Location"] in (f"{path}?text=disk", path)


def test_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(stranger: Visitor) -> None:
    cookie = stranger.sign_in(TOKENS["read"]).headers["Set-Cookie"]
    name, *attributes = cookie.lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= set(attributes)
    assert "secure" not in attributes
    assert TOKENS["read"] not in name


def test_over_https_the_cookie_belongs_to_this_host_and_is_sent_over_https_only(guarded: LiveApp) -> None:
    https = {"X-Forwarded-Proto": "https"}
    with guarded.client() as client:
        page = client.get("/login", headers=https)
        assert page.headers["Set-Cookie"].startswith("__Host-incident_manager_visitor=")
        assert "; Secure" in page.headers["Set-Cookie"]


def test_token_is_in_no_address_no_page_and_no_log(stranger: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    refused = stranger.sign_in("no-token-of-ours-0123456789abcdef")
    assert refused.status_code == 401
    assert "no-token-of-ours" not in refused.text
    answer = stranger.sign_in(TOKENS["respond"])
    assert TOKENS["respond"] not in stranger.get(answer.headers["Location"]).text + str(answer.headers)
    assert TOKENS["respond"] not in caplog.text
    assert "no-token-of-ours" not in caplog.text


def test_token_that_may_not_read_is_refused(stranger: Visitor) -> None:
    answer = stranger.sign_in(TOKENS["ingest"])
    assert answer.status_code == 403
    assert "may not read" in answer.text
    assert "incident_manager_session" not in stranger.client.cookies


def test_who_guesses_has_to_wait(tmp_path: Path) -> None:
    access: Any = {"failure_rate": {"per_second": 0.01, "burst": 2}}
    with LiveApp(create_app(settings(tmp_path, access=access))) as live, live.client() as client:
        guesser = Visitor(client)
        found = [guesser.sign_in("x" * 40) for _ in range(3)]
        assert [answer.status_code for answer in found] == [401, 401, 429]
        assert int(found[-1].headers["Retry-After"]) > 1
        assert guesser.sign_in(TOKENS["read"]).status_code == 303  # a good token is let in from any address


@pytest.mark.parametrize(
    "back",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/x\r\nSet-Cookie: a=b"],
)
def test_signing_in_leads_to_no_other_site(stranger: Visitor, back: str) -> None:
    answer = stranger.send("/login", "/login", token=TOKENS["read"], back=back)
    assert answer.headers["Location"] == "/"


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(visitor: Callable[[str], Visitor]) -> None:
    browser = visitor("read")
    copy = dict(browser.client.cookies)
    assert browser.send("/", "/logout").headers["Location"] == "/login"
    assert "incident_manager_session" not in browser.client.cookies
    browser.client.cookies.update(copy)
    assert browser.get("/").status_code == 303


def test_session_ends_with_its_token(visitor: Callable[[str], Visitor], stranger: Visitor, api: httpx2.Client) -> None:
    made = api.post("/v1/tokens", json={"name": "guest", "roles": ["read"]}).raise_for_status().json()
    stranger.sign_in(made["token"])
    assert stranger.get("/").status_code == 200
    api.delete(f"/v1/tokens/{made['id']}").raise_for_status()
    assert stranger.get("/").status_code == 303


def test_session_outlives_the_process_but_not_another_secret_of_its_token(tmp_path: Path) -> None:
    with LiveApp(create_app(settings(tmp_path))) as live, live.client() as client:
        Visitor(client).sign_in(TOKENS["read"])
        session = client.cookies["incident_manager_session"]
    cookie = {"Cookie": f"incident_manager_session={session}"}
    with LiveApp(create_app(settings(tmp_path))) as live, live.client() as client:
        assert client.get("/", headers=cookie).status_code == 200
    other: Any = {"read": {"roles": ["read"], "token": "another-secret-0123456789abcdef0123456789"}}
    with LiveApp(create_app(settings(tmp_path, tokens=other))) as live, live.client() as client:
        assert client.get("/", headers=cookie).status_code == 303


def test_session_opens_the_stream_and_nothing_else_of_the_api(visitor: Callable[[str], Visitor]) -> None:
    browser = visitor("admin")
    assert browser.get("/v1/incidents").status_code == 401
    assert browser.client.post("/v1/incidents", json={"title": "x", "severity": "low"}).status_code == 401
    with browser.client.stream("GET", "/v1/stream") as answer:
        assert answer.status_code == 200


def test_who_signs_in_and_out_is_audited(visitor: Callable[[str], Visitor], api: httpx2.Client) -> None:
    visitor("read").send("/", "/logout")
    newest = api.get("/v1/audit").json()["entries"][:2]
    assert [(entry["action"], entry["actor"]) for entry in newest] == [
        ("session.end", "read"),
        ("session.begin", "read"),
    ]


def test_where_nobody_is_asked_nobody_signs_in(tmp_path: Path) -> None:
    with LiveApp(create_app(Settings(data_dir=tmp_path))) as live, live.client() as client:
        assert client.get("/").status_code == 200
        assert client.get("/login").headers["Location"] == "/"
        refused = client.get("/", headers={"Host": "rebound.example"})
        assert refused.status_code == 403
        assert "answers to localhost" in refused.text


def test_where_another_program_asks_the_page_answers_to_every_host(tmp_path: Path) -> None:
    with LiveApp(create_app(Settings(data_dir=tmp_path, auth="none"))) as live, live.client() as client:
        assert client.get("/", headers={"Host": "incidents.example"}).status_code == 200
