"""Server-sent events, read as they pass: enough to see a first token, an error and a terminal marker."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from recloser.outcomes import IGNORED, SUCCESS, Outcome, Verdict

_LONGEST_LINE = 1_000_000


class SseEvent(NamedTuple):
    """One event. `data` is what its data lines say, `name` its `event:` line or else the `type` within the data."""

    name: str
    data: str

    def parsed(self) -> dict[str, Any]:
        """The data as a JSON object; empty when it is not one."""
        return as_object(self.data)


def as_object(text: str | bytes) -> dict[str, Any]:
    """A text as a JSON object; empty when it is not one."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class SseReader:
    """Turns bytes, however they are cut into chunks, into events. Holds one line and one event at most.

    Args:
        encoding: The Content-Encoding of the bytes: none, gzip or deflate.
    """

    def __init__(self, encoding: str) -> None:
        self._unzip = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
        self._rest = b""
        self._after_cr = False
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """The events that end within this chunk."""
        text = chunk if self._unzip is None else self._unzip.decompress(chunk)
        if text:
            if self._after_cr:
                text = text.removeprefix(b"\n")  # the second half of a CRLF, whose first half has ended the line
            self._after_cr = text.endswith(b"\r")
        lines = (self._rest + text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()[-_LONGEST_LINE:]
        for line in lines:
            event = self._line(line.decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> SseEvent | None:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._data.append(value)
            elif name == "event":
                self._name = value
            return None
        event = SseEvent(self._name, "\n".join(self._data)) if self._data else None
        self._name, self._data = "", []
        if event is None or event.name:
            return event
        named = event.parsed().get("type") if '"type"' in event.data else None
        return event._replace(name=named if isinstance(named, str) else "")


class SseWatch:
    """Judges a stream of events.

    Args:
        encoding: The Content-Encoding of the stream.
        judge: The verdict on an event that ends the call, else None.
        is_token: Whether an event is part of the answer proper.
        first_token: Called at the first such event.
        needs_end: Whether a stream without a terminal event is a failure.
    """

    def __init__(
        self,
        encoding: str,
        judge: Callable[[SseEvent], Verdict | None],
        is_token: Callable[[SseEvent], bool],
        first_token: Callable[[], None],
        *,
        needs_end: bool,
    ) -> None:
        self._reader: SseReader | None = (
            SseReader(encoding) if encoding in ("", "identity", "gzip", "deflate") else None
        )
        self._judge = judge
        self._is_token = is_token
        self._first_token = first_token
        self._needs_end = needs_end

    def see(self, chunk: bytes) -> Verdict | None:
        """Bytes of the stream."""
        if self._reader is None:
            return None
        try:
            for event in self._reader.feed(chunk):
                if self._is_token(event):
                    self._first_token()
                verdict = self._judge(event)
                if verdict is not None:
                    return verdict
        except zlib.error:
            self._reader = None  # whoever reads it in earnest will say what is wrong with it
        return None

    def end(self) -> Verdict:
        """The stream has ended without a word of its own."""
        if self._needs_end and self._reader is not None:
            return Verdict(Outcome.FAILURE, failed="the stream ended without its terminal marker")
        return SUCCESS

    def closed(self) -> Verdict:
        """The caller has closed the stream."""
        return IGNORED
