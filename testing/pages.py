"""Pages in a real browser that fail the test for what a person would not see: errors, and requests that fail.

A test that uses them runs in the event loop of the session, where the browser is::

    pytestmark = pytest.mark.asyncio(loop_scope="session")

    async def test_title(page: Page) -> None:
        await page.goto(url)
        await expect(page).to_have_title("Circuit breakers")

The fixtures are in the `conftest.py` of the repository: `page`, `new_page` for a page with options (a narrow window,
dark colours, no JavaScript), and `faults` to say which faults a test expects.
"""

import re
from typing import Any, Protocol

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

PATIENCE = 20_000
"""Milliseconds until something that is waited for counts as missing. A busy machine needs many."""

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", violation => console.error(
    `the content security policy forbids ${violation.effectiveDirective} ${violation.blockedURI}`
));
"""

expect.set_options(timeout=PATIENCE)


class Faults:
    """What went wrong in a test's pages: errors on the console, exceptions, violated policies, failed requests."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._allowed: list[re.Pattern[str]] = []

    def allow(self, pattern: str) -> None:
        """Expect faults whose text has a match of this regular expression, those already seen too."""
        self._allowed.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        """Those that no pattern allows."""
        return [fault for fault in self.seen if not any(pattern.search(fault) for pattern in self._allowed)]

    async def watch(self, context: BrowserContext) -> None:
        """Note the faults of every page of a context."""
        await context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.seen.append(f"exception: {error.error}"))
        context.on("requestfailed", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.seen.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        # A page that is left, closed or answered otherwise aborts what it was loading.
        if request.failure != "net::ERR_ABORTED":
            self.seen.append(f"request: {request.method} {request.url} {request.failure}")


class NewPage(Protocol):
    """Opens a page in a window of its own: no cookies, nothing cached."""

    async def __call__(self, **options: Any) -> Page:
        """A new page.

        Args:
            options: Those of Playwright's `Browser.new_context`: `viewport`, `color_scheme`, `java_script_enabled` ...
        """
        ...


async def open_page(browser: Browser, faults: Faults, **options: Any) -> Page:
    """A page whose faults are noted; its context is closed with `page.context.close()`."""
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    await faults.watch(context)
    return await context.new_page()
