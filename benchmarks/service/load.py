"""The process that sends: it does one job after another, each a line of JSON, and answers each with a line.

    python -m benchmarks.service.load

It speaks HTTP/1.1 on bare sockets, so that it takes a small part of a core where a client library would take one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.service.shapes import Shape, requests

DRAIN = 60.0
"""Seconds that the last answers may take."""


@dataclass(frozen=True)
class Job:
    """What to send, and for how long.

    Attributes:
        seconds: Time during which requests start.
        rate: Requests a second, whether earlier ones were answered or not; None lets each connection send its next
            request when the last one was answered.
    """

    port: int
    shape: Shape
    seconds: float
    rate: float | None = None


@dataclass(frozen=True)
class Measured:
    """What came of a job. Durations are seconds.

    Attributes:
        alerts: Alerts that were answered 202.
        seconds: From the first request to the last answer.
        p50: Median latency. With a rate it counts from the moment a request was due, so that waiting for a free
            connection is part of it.
        refused: Requests that were answered otherwise, by status.
        journaled: Requests that went into the journal.
        busy: Part of a core that the sender itself used, 0..1.
    """

    alerts: int
    seconds: float
    p50: float
    p99: float
    refused: dict[str, int]
    journaled: int
    busy: float

    @property
    def rate(self) -> float:
        """Alerts a second."""
        return self.alerts / self.seconds


@dataclass
class _Run:
    """A job under way: its senders ask it when to send, and tell it what was answered."""

    job: Job
    supply: Iterator[bytes]
    deadline: float
    latencies: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    journaled: int = 0
    due: deque[float] = field(default_factory=deque)
    idle: deque[_Sender] = field(default_factory=deque)
    in_flight: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    failure: str | None = None

    def next(self, sender: _Sender) -> None:
        """Let a connection that is free send what is due, if anything is."""
        now = time.monotonic()
        if self.job.rate is None and now < self.deadline:
            self._send(sender, now)
        elif self.due:
            self._send(sender, self.due.popleft())
        else:
            self.idle.append(sender)
            self._end_if_done(now)

    def is_due(self, moment: float) -> None:
        """One more request is to be sent."""
        if self.idle:
            self._send(self.idle.popleft(), moment)
        else:
            self.due.append(moment)

    def answered(self, sender: _Sender, since: float, head: bytes, body: bytes) -> None:
        """Take one answer down."""
        self.in_flight -= 1
        self.latencies.append(time.monotonic() - since)
        status = head[9:12].decode()
        if status == "202":
            self.accepted += 1
            self.journaled += b'"journaled"' in body
        else:
            self.refused[status] += 1
        self.next(sender)

    def fail(self, reason: str) -> None:
        """End, because a connection was lost."""
        self.failure = self.failure or reason
        self.ended.set()

    def _send(self, sender: _Sender, moment: float) -> None:
        self.in_flight += 1
        sender.send(next(self.supply), moment)

    def _end_if_done(self, now: float) -> None:
        if now >= self.deadline and self.in_flight == 0 and not self.due:
            self.ended.set()


class _Sender(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._since = 0.0
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.fail(f"the server closed a connection: {exc}")

    def send(self, request: bytes, due: float) -> None:
        assert self._transport is not None
        self._since = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= _content_length(head):
            self._received = b""
            self._run.answered(self, self._since, head, body)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


async def run(job: Job) -> Measured:
    """Do a job.

    Raises:
        RuntimeError: A connection was lost, or an answer did not come.
    """
    started, used = time.monotonic(), time.process_time()
    state = _Run(job, requests(job.shape, f"127.0.0.1:{job.port}"), started + job.seconds)
    loop = asyncio.get_running_loop()
    senders = [
        (await loop.create_connection(lambda: _Sender(state), "127.0.0.1", job.port))[1]
        for _ in range(job.shape.senders)
    ]
    for sender in senders:
        state.next(sender)
    try:
        async with asyncio.timeout(job.seconds + DRAIN):
            if job.rate is not None:
                await _keep_pace(state, started, job.rate)
            await state.ended.wait()
    except TimeoutError:
        state.failure = f"{state.in_flight} requests were not answered within {DRAIN:g} s"
    if state.failure is not None:
        raise RuntimeError(state.failure)
    took = time.monotonic() - started
    for sender in senders:
        sender.close()
    return _measured(state, took, time.process_time() - used)


async def _keep_pace(state: _Run, started: float, rate: float) -> None:
    number = 0
    while (moment := started + number / rate) < state.deadline and not state.ended.is_set():
        await asyncio.sleep(moment - time.monotonic())
        state.is_due(moment)
        number += 1
    await asyncio.sleep(state.deadline - time.monotonic())
    if not state.in_flight:
        state.ended.set()


def _measured(state: _Run, took: float, used: float) -> Measured:
    ordered = sorted(state.latencies)
    return Measured(
        alerts=state.accepted * state.job.shape.alerts,
        seconds=took,
        p50=ordered[len(ordered) // 2],
        p99=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        refused=dict(state.refused),
        journaled=state.journaled,
        busy=used / took,
    )


def _job(line: str) -> Job:
    values: dict[str, Any] = json.loads(line)
    return Job(**{**values, "shape": Shape(**values["shape"])})


def main() -> None:
    """Do jobs until the input ends."""
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = asdict(asyncio.run(run(_job(line))))
        except (RuntimeError, OSError) as error:
            answer = {"failure": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
