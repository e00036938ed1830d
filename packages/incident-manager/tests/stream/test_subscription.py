"""What waits for a follower is what it wants, and never more than a backlog of it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from incident_manager.api import stream
from incident_manager.stream.subscription import CircuitChanged, Interest, Joined, Subscription


def event(number: int) -> CircuitChanged:
    return CircuitChanged({"number": number})


async def test_what_is_offered_comes_in_order() -> None:
    client = Subscription(Interest())
    for number in range(3):
        client.offer(event(number))
    assert [await client.next(0.01) for _ in range(4)] == [event(0), event(1), event(2), None]


async def test_what_is_not_wanted_does_not_wait() -> None:
    client = Subscription(Interest(circuit_breakers=False))
    client.offer(event(1))
    client.offer(Joined(7))
    assert await client.next(0.01) == Joined(7)


async def test_a_follower_that_does_not_keep_up_is_cut_off_and_nothing_is_kept_for_it() -> None:
    client = Subscription(Interest(), backlog=3)
    for number in range(5):
        client.offer(event(number))
    assert client.has_ended
    assert await client.next(60.0) is None


async def test_ending_wakes_who_waits() -> None:
    client = Subscription(Interest())
    waiting = asyncio.create_task(client.next(60.0))
    await asyncio.sleep(0)
    client.end()
    assert await asyncio.wait_for(waiting, 10) is None


async def test_a_client_that_leaves_the_connection_full_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT", 0.05)
    closed = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b": x\n\n"
        finally:
            closed.set()

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 3:
            await asyncio.Event().wait()

    body = events()
    await asyncio.wait_for(stream.EventStream(body).stream_response(send), 10)
    assert len(sent) == 3
    assert "reads nothing and is cut off" in caplog.text
    await body.aclose()
    assert closed.is_set()
