"""The browser of the tests is there, and a page with a fault fails its test."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from testing.pages import Faults, open_page
from testing.servers.chromium import chromium_binary
from testing.servers.programs import ProgramMissingError

in_browser = pytest.mark.asyncio(loop_scope="session")

POLICY = '<meta http-equiv="Content-Security-Policy" content="{}">'


@pytest.fixture
def publish(tmp_path: Path) -> Callable[[str], str]:
    """Makes a page; returns its address."""

    def publish(content: str) -> str:
        document = tmp_path / "page.html"
        document.write_text(f"<!doctype html><title>page</title>{content}")
        return document.as_uri()

    return publish


@in_browser
async def test_page_runs_scripts_in_a_real_browser(page: Page, publish: Callable[[str], str]) -> None:
    await page.goto(publish("<script>document.title = 6 * 7</script>"))
    await expect(page).to_have_title("42")


@in_browser
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("<script>console.error('broken')</script>", "console: broken"),
        ("<script>throw new Error('thrown')</script>", "exception: thrown"),
        ("<img src='missing.png' alt=''>", "request: GET .*missing.png net::ERR_FILE_NOT_FOUND"),
        (POLICY.format("style-src 'none'") + "<p style='color: red'>", "policy forbids style-src-attr"),
    ],
    ids=["console", "exception", "request", "policy"],
)
async def test_fault_of_a_page_is_noted(
    browser: Browser, publish: Callable[[str], str], content: str, fault: str
) -> None:
    faults = Faults()
    page = await open_page(browser, faults)
    await page.goto(publish(content), wait_until="networkidle")
    await page.context.close()
    assert any(re.search(fault, seen) for seen in faults.unexpected), faults.seen


def test_fault_that_a_test_expects_is_allowed() -> None:
    faults = Faults()
    faults.seen += ["console: refused", "exception: thrown"]
    faults.allow("^console: ref")
    assert faults.unexpected == ["exception: thrown"]


def test_missing_browser_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHROMIUM_BIN", str(tmp_path))
    with pytest.raises(ProgramMissingError, match=f"none of chromium, .* in CHROMIUM_BIN={tmp_path}"):
        chromium_binary()
