"""Real servers for every test that asks: started once a session, on the first use, on free ports.

A test that hurts a server starts one of its own instead: ``with PostgresServer() as postgres: ...``.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import pytest_asyncio
from testing.servers import PostgresServer, SmtpServer, ValkeyServer
from testing.servers.programs import require

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page
    from testing.pages import Faults, NewPage

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_configure() -> None:
    """Let programs that tests start know Ctrl-C, also where a shell runs us in the background and ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server, shared by the session."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A running Valkey server, shared by the session."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def smtp() -> Iterator[SmtpServer]:
    """A running SMTP server, shared by the session."""
    with SmtpServer() as server:
        yield server


# Playwright is imported on the first use only: some environments of the tests do not have it.


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium, shared by the session; its tests run in the session's event loop (`testing/pages.py`)."""
    from testing.servers.chromium import chromium_binary, running_chromium

    require(chromium_binary)
    async with running_chromium() as browser:
        yield browser


@pytest.fixture
def faults() -> Iterator[Faults]:
    """What goes wrong in the test's pages; the test fails for what it has not allowed."""
    from testing.pages import Faults

    faults = Faults()
    yield faults
    assert not faults.unexpected, "faults of the pages:\n" + "\n".join(faults.unexpected)


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(browser: Browser, faults: Faults) -> AsyncIterator[NewPage]:
    """Opens pages; they are closed after the test."""
    from testing.pages import open_page

    contexts: list[BrowserContext] = []

    async def new_page(**options: Any) -> Page:
        page = await open_page(browser, faults, **options)
        contexts.append(page.context)
        return page

    yield new_page
    for context in contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(new_page: NewPage) -> Page:
    """A page in a window of its own."""
    return await new_page()
