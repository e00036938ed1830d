"""What the pages refuse, and what they tell browsers to refuse."""

from collections.abc import Callable

import httpx2
import pytest

from .conftest import Visitor, form_to

PAGES = ("/", "/login", "/deliveries", "/silences", "/nothing/there", "/incidents/none", "/static/page.js")


@pytest.mark.parametrize("path", PAGES[:4])
def test_browser_may_load_nothing_but_our_own_files(visitor: Callable[[str], Visitor], path: str) -> None:
    answer = visitor("admin").get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"


def test_page_has_no_script_or_style_of_its_own(visitor: Callable[[str], Visitor], opened: Callable[..., str]) -> None:
    browser, incident_id = visitor("admin"), opened("plain")
    for path in ("/", f"/incidents/{incident_id}", "/deliveries", "/silences"):
        text = browser.get(path).text
        assert text.count("<script") == text.count('<script src="/static/') == 1
        assert "<style" not in text
        assert " style=" not in text
        assert " onclick" not in text


def test_files_may_be_kept_for_ever_since_their_address_changes_with_them(stranger: Visitor) -> None:
    page = stranger.get("/login").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    assert "?v=" in address
    assert "immutable" in stranger.get(address).headers["Cache-Control"]
    assert stranger.get("/static/..%2fapplication.py").status_code == 404


@pytest.mark.parametrize(
    "title",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ 7 * 7 }} {% include 'base.html' %}",
        "'); alert(1); ('",
        "</title><svg onload=alert(1)>",
    ],
)
def test_hostile_text_is_shown_as_text(
    visitor: Callable[[str], Visitor], opened: Callable[..., str], title: str
) -> None:
    hostile = {"labels": {title: title}, "annotations": {title: title}, "description": title, "source": title}
    incident_id = opened(title, **hostile)
    browser = visitor("respond")
    shown = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = shown.replace("'", "&#39;").replace('"', "&#34;")
    for path in ("/", f"/incidents/{incident_id}", "/deliveries"):
        text = browser.get(path).text
        assert shown in text
        assert title not in text
    assert browser.get(f"/incidents/{incident_id}").text.count(shown) >= 6


def test_only_web_addresses_are_links(visitor: Callable[[str], Visitor], opened: Callable[..., str]) -> None:
    annotations = {
        "runbook": "https://runbooks.example.org/disk",
        "script": "javascript:alert(1)",
        "data": "data:text/html,<script>alert(1)</script>",
        "broken": "http://[",
        "spaced": "https://example.org/a b",
    }
    text = visitor("read").get(f"/incidents/{opened('links', annotations=annotations)}").text
    assert 'href="https://runbooks.example.org/disk" rel="noopener noreferrer nofollow"' in text
    for wrong in ('href="javascript', 'href="data', 'href="http://[', 'href="https://example.org/a b'):
        assert wrong not in text


def test_form_is_taken_only_from_the_browser_it_was_made_for(
    visitor: Callable[[str], Visitor], opened: Callable[..., str], api: httpx2.Client
) -> None:
    incident_id = opened("forged")
    action = f"/incidents/{incident_id}/acknowledge"
    mine, theirs = visitor("respond"), visitor("respond")
    form = form_to(mine.get(f"/incidents/{incident_id}").text, action)
    for wrong in ({**form, "mark": "0" * 64}, {"version": form["version"]}):
        assert mine.client.post(action, data=wrong).status_code == 403
    assert theirs.client.post(action, data=form).status_code == 403
    assert api.get(f"/v1/incidents/{incident_id}").json()["acknowledged_at"] is None
    assert mine.client.post(action, data=form).status_code == 303


def test_form_on_the_page_of_another_site_changes_nothing(
    visitor: Callable[[str], Visitor], opened: Callable[..., str]
) -> None:
    incident_id = opened("foreign")
    browser, action = visitor("respond"), f"/incidents/{incident_id}/acknowledge"
    form = form_to(browser.get(f"/incidents/{incident_id}").text, action)
    for origin in ("https://evil.example", "null"):
        assert browser.client.post(action, data=form, headers={"Origin": origin}).status_code == 403


def test_reader_sees_no_buttons_and_is_refused_all_the_same(
    visitor: Callable[[str], Visitor], opened: Callable[..., str]
) -> None:
    incident_id = opened("read only")
    reader = visitor("read")
    for path in ("/", f"/incidents/{incident_id}", "/silences"):
        forms = reader.get(path).text.split('<form method="post" action="')[1:]
        assert [form.split('"')[0] for form in forms] == ["/logout"]
    mark = form_to(reader.get("/").text, "/logout")["mark"]
    for action in (f"/incidents/{incident_id}/acknowledge", "/silences"):
        answer = reader.client.post(action, data={"mark": mark, "version": "1"})
        assert answer.status_code == 403
        assert "the role respond is needed" in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(100)), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 600_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_what_is_no_form_is_refused(stranger: Visitor, content: bytes, kind: str, status: int) -> None:
    assert stranger.client.post("/login", content=content, headers={"Content-Type": kind}).status_code == status


def test_paths_of_the_api_stay_those_of_the_api(api: httpx2.Client) -> None:
    assert api.get("/v1/nothing").headers["Content-Type"] == "application/json"
    assert api.get("/incident").headers["Content-Type"] == "application/json"
    assert api.get("/health/live").json() == {"status": "alive"}
