"""Chromium, from the system, the folder ``CHROMIUM_BIN``, or as `fetch-programs.sh` has unpacked it."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from testing.servers.programs import ProgramMissingError, find_program

FETCHED = Path(sys.prefix) / "servers/chromium"
"""Where `fetch-programs.sh` unpacks it, with the libraries that the system lacks."""

OPTIONS = (
    "--no-sandbox",  # containers often lack what it needs; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_binary() -> Path:
    """The program ``chromium``. Raises ProgramMissingError when it is not there."""
    try:
        return find_program("CHROMIUM_BIN", "chromium", "chromium-browser", "google-chrome")
    except ProgramMissingError:
        unpacked = FETCHED / "usr/lib/chromium/chromium"
        if "CHROMIUM_BIN" in os.environ or not unpacked.exists():
            raise
        return unpacked


def _environment(program: Path) -> dict[str, str | float | bool]:
    if not program.is_relative_to(FETCHED):
        return {**os.environ}
    folders = [str(folder) for folder in FETCHED.glob("usr/lib/*-linux-gnu*")]
    folders += [str(folder) for folder in FETCHED.glob("usr/lib/*-linux-gnu*/pulseaudio")]
    given = os.environ.get("LD_LIBRARY_PATH")
    return {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join([*folders, given] if given else folders),
        "FONTCONFIG_FILE": str(FETCHED / "fonts.conf"),
    }


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """A headless Chromium, driven by Playwright.

    Raises:
        ProgramMissingError: There is none on this machine.
    """
    program = chromium_binary()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=OPTIONS, env=_environment(program))
        try:
            yield browser
        finally:
            await browser.close()
