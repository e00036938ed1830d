"""The live page: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

What is sent is what has changed since the last event of the same connection, of the cards that its viewer sees: the
work for one viewer is bounded by these, and one who reads slowly is sent fewer events.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from recloser.dashboard import cards, pages
from recloser.dashboard.cards import Texts
from recloser.dashboard.frames import Filter, Frame
from recloser.dashboard.history import latest
from recloser.dashboard.http import SECURITY_HEADERS, Receive, Send, raw
from recloser.dashboard.sampler import Sampler, Viewer

LASTS = 15.0
"""Seconds after which a stream ends; the browser takes the next one at once. A server that stops waits for streams."""

RETRY = 500
"""Milliseconds after which a browser comes back."""

QUIET = 5.0
"""Seconds after which something is sent even when there is nothing to say: the browser sees that all is well."""


class Stream:
    """What one connection has been sent.

    Args:
        wanted: What its viewer wants to see.
        title: What the page is called.
    """

    def __init__(self, wanted: Filter, title: str) -> None:
        self._wanted = wanted
        self._title = title
        self._cards: dict[str, Texts] = {}
        self._groups: list[Texts] | None = None
        self._line = 0
        self._first = True

    def event(self, frame: Frame, now: str) -> bytes:
        """The event that brings a viewer to this frame."""
        rows = frame.matching(self._wanted)[: pages.CARDS]
        shown = {cards.key_of(row.stats.name): row.card for row in rows}
        groups = [pages.group_texts(group) for group in pages.shown_groups(frame)]
        entries = latest(frame.entries, pages.LINES, since=self._line, breaker=self._wanted.name)
        value: dict[str, Any] = {
            "first": self._first,
            "title": pages.page_title(frame, self._title),
            "page": {"now": now, "showing": pages.showing(frame, self._wanted), **pages.totals(frame)},
            "cards": [texts for key, texts in shown.items() if texts != self._cards.get(key)],
            "order": None if list(shown) == list(self._cards) and not self._first else list(shown),
            "groups": None if groups == self._groups else groups,
            "lines": [cards.line(entry) for entry in entries],
        }
        self._cards, self._groups, self._first = shown, groups, False
        self._line = max([self._line, *(entry.number for entry in entries)])
        return f"data: {json.dumps(value, allow_nan=False)}\n\n".encode()


async def serve(sampler: Sampler, stream: Stream, receive: Receive, send: Send) -> None:
    """Send events until the viewer leaves, or the stream has lasted long enough."""
    headers = {**SECURITY_HEADERS, "content-type": "text/event-stream", "x-accel-buffering": "no"}
    viewer = sampler.watch()
    leaving = asyncio.ensure_future(_left(receive))
    try:
        async with asyncio.timeout(LASTS + QUIET):  # a client that does not read would keep `send` for ever
            await send({"type": "http.response.start", "status": 200, "headers": raw(headers)})
            await send({"type": "http.response.body", "body": f"retry: {RETRY}\n\n".encode(), "more_body": True})
            ends = time.monotonic() + LASTS
            while (left := ends - time.monotonic()) > 0 and not leaving.done():
                frame = await _next(viewer, leaving, min(QUIET, left))
                body = b":\n\n" if frame is None else stream.event(frame, clock_time())
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if not leaving.done():
                await send({"type": "http.response.body", "body": b""})
    except OSError:
        pass  # how a server says that the client is gone; TimeoutError is one, too
    finally:
        sampler.leave(viewer)
        leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next(viewer: Viewer, leaving: asyncio.Future[None], seconds: float) -> Frame | None:
    waiting = asyncio.ensure_future(viewer.next(seconds))
    try:
        tasks: set[asyncio.Future[Any]] = {waiting, leaving}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()


def clock_time() -> str:
    """The time of day (UTC) as pages show it."""
    return time.strftime("%H:%M:%S", time.gmtime())
