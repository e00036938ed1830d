"""What a person sees and does in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from testing.live import LiveApp
from testing.servers import PostgresServer

pytest.importorskip("playwright", reason="some environments of the tests have no browser")

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from testing.pages import Faults, NewPage

from incident_manager.app import create_app
from incident_manager.settings import Settings

from .conftest import TOKENS, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

Opened = Callable[..., str]
PHONE: Any = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
REFUSED = "the server responded with a status of 4"
"""What Chromium writes on the console for a page that is an error."""


async def sign_in(page: Page, live: LiveApp, role: str = "respond") -> None:
    """Open the list for somebody who has signed in; how that looks is a test of its own."""
    with live.client() as client:
        Visitor(client).sign_in(TOKENS[role])
        session = client.cookies["incident_manager_session"]
    await page.context.add_cookies([{"name": "incident_manager_session", "value": session, "url": live.url}])
    await page.goto(live.url)
    await expect(page.locator("#live")).to_have_text("Live")


@pytest_asyncio.fixture(loop_scope="session")
async def responder(page: Page, guarded: LiveApp) -> AsyncIterator[Page]:
    """The list, in front of somebody who may respond."""
    await sign_in(page, guarded)
    yield page


async def test_alert_appears_without_a_reload(responder: Page, opened: Opened) -> None:
    await responder.evaluate("window.isTheSamePage = true")
    opened("Disk of db-1 is full", severity="critical")
    row = responder.get_by_role("row", name="Disk of db-1 is full")
    await expect(row).to_be_visible()
    await expect(row).to_contain_text("P0")
    await expect(responder.locator("#said")).to_have_text("New incident: Disk of db-1 is full")
    assert await responder.evaluate("window.isTheSamePage")


async def test_incident_is_acknowledged_with_the_keyboard(responder: Page, opened: Opened, api: httpx2.Client) -> None:
    incident_id = opened("Keys only")
    link = responder.get_by_role("link", name="Keys only")
    await expect(link).to_be_visible()
    await link.focus()
    await responder.keyboard.press("Tab")
    await expect(responder.get_by_role("button", name="Acknowledge Keys only")).to_be_focused()
    await responder.keyboard.press("Enter")
    await expect(responder.get_by_role("status").filter(has_text="Acknowledged.")).to_be_visible()
    assert api.get(f"/v1/incidents/{incident_id}").json()["acknowledged_by"] == "respond"


async def test_history_grows_while_it_is_looked_at_and_what_is_typed_stays(
    responder: Page, opened: Opened, api: httpx2.Client, guarded: LiveApp
) -> None:
    incident_id = opened("Watched")
    await responder.goto(f"{guarded.url}/incidents/{incident_id}")
    await expect(responder.locator("#live")).to_have_text("Live")
    note = responder.get_by_label("Note")
    await note.fill("I am writing")
    api.patch(f"/v1/incidents/{incident_id}", json={"assignee": "ben", "by": "ben"}).raise_for_status()
    await expect(responder.locator("#timeline")).to_contain_text("assigned to ben by ben")
    await expect(responder.locator("#facts")).to_contain_text("version 2")
    await expect(note).to_have_value("I am writing")


async def test_who_was_overtaken_is_told_and_can_repeat(
    responder: Page, opened: Opened, api: httpx2.Client, guarded: LiveApp, faults: Faults
) -> None:
    faults.allow(REFUSED)
    incident_id = opened("Contested")
    await responder.goto(f"{guarded.url}/incidents/{incident_id}")
    await responder.get_by_label("Note").fill("restarting it")
    api.patch(f"/v1/incidents/{incident_id}", json={"assignee": "ben", "by": "ben"}).raise_for_status()
    await responder.get_by_role("button", name="Add note").click()
    await expect(responder.get_by_role("alert")).to_contain_text("Somebody else changed this incident")
    await expect(responder.get_by_role("alert")).to_contain_text("assigned to ben by ben")
    await expect(responder.get_by_label("Note")).to_have_value("restarting it")
    await responder.get_by_role("button", name="Add note").click()
    await expect(responder.locator("#timeline")).to_contain_text("restarting it")


async def test_signing_in_and_out(page: Page, guarded: LiveApp, faults: Faults) -> None:
    faults.allow(REFUSED)
    await page.goto(f"{guarded.url}/deliveries")
    await expect(page.get_by_label("Token")).to_be_focused()
    await page.keyboard.type("wrong-token-0123456789abcdef0123456789")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("the token is not known")
    await page.get_by_label("Token").fill(TOKENS["read"])
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{guarded.url}/deliveries")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{guarded.url}/login")
    await page.goto(f"{guarded.url}/")
    await expect(page).to_have_url(f"{guarded.url}/login")


async def test_hostile_title_is_text(responder: Page, opened: Opened, guarded: LiveApp) -> None:
    title = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    asked: list[str] = []
    responder.on("dialog", lambda dialog: asked.append(dialog.message))
    incident_id = opened(title, labels={title: title}, annotations={"url": "javascript:alert(3)"})
    await expect(responder.get_by_role("link", name=title, exact=True)).to_be_visible()  # put in by the script
    await responder.goto(f"{guarded.url}/incidents/{incident_id}")
    await expect(responder.get_by_role("heading", level=1)).to_have_text(title)
    assert await responder.locator("main img, main script, main a[href^='javascript']").count() == 0
    assert asked == []


async def test_pages_fit_a_phone_and_are_usable_without_seeing(
    new_page: NewPage, guarded: LiveApp, opened: Opened
) -> None:
    long = "unbroken" * 40
    incident_id = opened(long, labels={"name" * 30: long}, annotations={"runbook": f"https://example.org/{long}"})
    page = await new_page(**PHONE)
    await page.goto(f"{guarded.url}/login")
    await assert_usable(page)
    await sign_in(page, guarded)
    for path in ("/deliveries", "/silences", "/", f"/incidents/{incident_id}"):
        await page.goto(guarded.url + path)
        await assert_fits(page)
        if path in ("/silences", f"/incidents/{incident_id}"):
            await assert_usable(page)
    await page.emulate_media(color_scheme="dark")
    await assert_usable(page)


async def assert_fits(page: Page) -> None:
    """No scrolling sideways."""
    width = await page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width[0] <= width[1], f"{page.url} is wider than the window"


async def assert_usable(page: Page) -> None:
    """Nothing that axe objects to: contrast, names, landmarks, order of headings."""
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


async def test_times_are_the_readers_with_utc_to_be_seen(
    new_page: NewPage, guarded: LiveApp, opened: Opened, api: httpx2.Client
) -> None:
    incident_id = opened("Timed")
    created = api.get(f"/v1/incidents/{incident_id}").json()["created_at"]
    page = await new_page(timezone_id="Asia/Kolkata", locale="en-GB")
    await sign_in(page, guarded)
    await page.goto(f"{guarded.url}/incidents/{incident_id}")
    time = page.locator("#facts time.at").first
    shown = await page.evaluate("at => new Date(at).toLocaleTimeString('en-GB', {timeZone: 'Asia/Kolkata'})", created)
    await expect(time).to_contain_text(shown)
    await expect(time).to_have_attribute("title", re.compile(rf"^{created[:10]} {created[11:19]} UTC$"))


async def test_all_works_without_scripts(
    new_page: NewPage, guarded: LiveApp, opened: Opened, api: httpx2.Client
) -> None:
    incident_id = opened("Scriptless", source="plain")
    page = await new_page(java_script_enabled=False)
    await page.goto(f"{guarded.url}/login")
    await page.get_by_label("Token").fill(TOKENS["respond"])
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_label("Source").fill("plain")
    await page.get_by_role("button", name="Show").click()
    await page.get_by_role("link", name="Scriptless").click()
    await page.get_by_role("button", name="Acknowledge").click()
    await page.get_by_label("Resolution").fill("by hand")
    await page.get_by_role("button", name="Resolve").click()
    await expect(page.locator("#facts")).to_contain_text("by hand")
    await expect(page.locator("#facts time").first).to_contain_text("UTC")
    assert api.get(f"/v1/incidents/{incident_id}").json()["status"] == "resolved"


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[tuple[LiveApp, PostgresServer]]:
    """A service whose database can be stopped."""
    breaker = {"database": {"failure_threshold": 1, "open_for": 0.2}}
    with PostgresServer() as postgres:
        made = Settings(data_dir=tmp_path, database_url=postgres.url, auth="none", breakers=breaker)  # type: ignore[arg-type]
        with LiveApp(create_app(made)) as live:
            yield live, postgres


async def test_page_says_when_the_database_is_stopped_and_when_it_is_back(
    page: Page, on_postgres: tuple[LiveApp, PostgresServer], faults: Faults
) -> None:
    faults.allow("the server responded with a status of 503")
    live, postgres = on_postgres
    with live.client() as client:
        client.post("/v1/alerts", json={"title": "Before"}).raise_for_status()
        await page.goto(live.url)
        await expect(page.get_by_role("link", name="Before")).to_be_visible()
        postgres.kill()
        taken = client.post("/v1/alerts", json={"title": "Meanwhile"}).raise_for_status().json()
        assert taken["alerts"][0]["action"] == "journaled"
        await expect(page.locator("#troubles")).to_contain_text("The database cannot be used")
        await expect(page.get_by_role("heading", name="The database is away")).to_be_visible()
        await expect(page.locator("#troubles")).to_contain_text("1 alert in the journal")
        postgres.start()
        await expect(page.get_by_role("link", name="Meanwhile")).to_be_visible()
        await expect(page.locator("#troubles")).not_to_contain_text("The database cannot be used")
        await page.goto("about:blank")  # before the service ends


async def test_breakers_are_shown_as_they_change(responder: Page, api: httpx2.Client, guarded: LiveApp) -> None:
    await responder.get_by_role("link", name="Breakers").click()
    await expect(responder.get_by_role("heading", name="notify:ops")).to_be_visible()
    api.post("/v1/circuit-breakers/notify:ops/open", json={"reason": "moved"}).raise_for_status()
    try:
        await expect(responder.get_by_role("main")).to_contain_text("Until an operator ends it")
        await responder.get_by_role("link", name="Back").click()
        await expect(responder.locator("#troubles")).to_contain_text("forced open by an operator: moved")
    finally:
        api.post("/v1/circuit-breakers/notify:ops/reset").raise_for_status()
    await expect(responder.locator("#troubles")).not_to_contain_text("forced open")
