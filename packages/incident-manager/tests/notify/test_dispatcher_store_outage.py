"""The store goes away and comes back under a running dispatcher. The store is held off by its real breaker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dispatching import Bench, eventually, hook
from http_receiver import HttpReceiver, Reply

from recloser.testing import FakeClock


@pytest.fixture
async def work(tmp_path: Path, clock: FakeClock, receiver: HttpReceiver) -> AsyncIterator[Bench]:
    async with Bench(tmp_path, clock, destinations={"ops": hook(receiver.url)}) as bench:
        yield bench


async def test_lane_survives_the_outage_says_so_and_goes_on_without_a_restart(
    work: Bench, receiver: HttpReceiver
) -> None:
    dispatcher = await work.dispatch()
    deliveries = await work.enqueue(3)
    await work.settled(deliveries)
    await work.idle()
    assert dispatcher.ready
    work.registry["database"].force_open("the disk is being replaced")
    await work.look()
    assert not dispatcher.ready
    assert "the store is away" in dispatcher.problems()["ops"]
    for _ in range(10):
        await work.advance(3)
    assert not dispatcher.ready

    work.registry["database"].reset("the disk is back")
    more = await work.enqueue(3)
    assert {row.status for row in await work.settled(more)} == {"delivered"}
    await work.idle()
    assert dispatcher.ready
    assert len(receiver.requests) == 6


async def test_lane_comes_back_by_itself_when_nothing_is_enqueued(work: Bench, receiver: HttpReceiver) -> None:
    deliveries = await work.enqueue(2)
    work.registry["database"].force_open("the disk is being replaced")
    dispatcher = await work.dispatch()
    await work.idle()
    assert receiver.requests == []
    work.registry["database"].reset("the disk is back")
    await work.advance(15)
    assert {row.status for row in await work.rows(deliveries)} == {"delivered"}
    assert dispatcher.ready


async def test_waits_between_looks_grow_while_the_store_is_away(work: Bench) -> None:
    work.registry["database"].force_open("the disk is being replaced")
    await work.dispatch()
    await work.idle()
    rejected = work.registry["database"].stats().calls["rejected"]
    await work.advance(0.4)
    assert work.registry["database"].stats().calls["rejected"] == rejected
    await work.advance(0.1)
    assert work.registry["database"].stats().calls["rejected"] == rejected + 1
    await work.advance(0.9)
    assert work.registry["database"].stats().calls["rejected"] == rejected + 1


async def test_outcome_of_a_send_is_kept_until_it_can_be_written(work: Bench, receiver: HttpReceiver) -> None:
    answer = asyncio.Event()
    receiver.script.append(Reply(200, after=answer))
    deliveries = await work.enqueue(2)
    dispatcher = await work.dispatch()
    await receiver.received(1)
    work.registry["database"].force_open("the disk is being replaced")
    answer.set()
    await work.idle()
    assert not dispatcher.ready
    await work.advance(20)
    assert len(receiver.requests) == 1
    work.registry["database"].reset("the disk is back")
    await work.advance(15)
    rows = await work.settled(deliveries)
    assert [(row.status, row.attempts) for row in rows] == [("delivered", 1)] * 2
    assert [request.headers["webhook-id"] for request in receiver.requests] == [row.id for row in rows]


async def test_stop_during_the_outage_does_not_hang(work: Bench, receiver: HttpReceiver) -> None:
    answer = asyncio.Event()
    receiver.script.append(Reply(200, after=answer))
    [delivery] = await work.enqueue()
    dispatcher = await work.dispatch()
    await receiver.received(1)
    work.registry["database"].force_open("the disk is being replaced")
    answer.set()
    await work.idle()
    await asyncio.wait_for(dispatcher.stop(), 20)
    work.registry["database"].reset("the disk is back")

    async def still_pending() -> bool | None:
        return (await work.row(delivery)).status == "pending" or None

    assert await eventually(still_pending)
