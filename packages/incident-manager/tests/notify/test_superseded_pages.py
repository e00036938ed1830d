"""Nobody is woken for an incident that was acknowledged or resolved while the page waited."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from dispatching import Bench, hook
from http_receiver import CLOSE, HttpReceiver, Reply

from incident_manager.domain.delivery import Delivery, NotificationEvent, new_delivery
from incident_manager.domain.timeline import TimelineKind
from recloser.testing import FakeClock

TRIGGERED, ACKNOWLEDGED, RESOLVED, ESCALATED = (
    NotificationEvent.TRIGGERED,
    NotificationEvent.ACKNOWLEDGED,
    NotificationEvent.RESOLVED,
    NotificationEvent.ESCALATED,
)
KEY = "0123456789abcdef0123456789abcdef"
MakeBench = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def bench(tmp_path: Path, clock: FakeClock, receiver: HttpReceiver) -> AsyncIterator[MakeBench]:
    opened: list[Bench] = []

    async def make(**destination: Any) -> Bench:
        values = {"type": "pagerduty", "routing_key": KEY, "url": receiver.url, "allow_private": True}
        settings = destination or values
        work = Bench(tmp_path, clock, destinations={"ops": settings})
        await work.__aenter__()
        opened.append(work)
        await work.dispatch()
        await work.idle()
        return work

    yield make
    for work in opened:
        await work.__aexit__()


async def follow(work: Bench, first: Delivery, *events: NotificationEvent) -> list[Delivery]:
    """Enqueue what follows on the incident of a delivery."""
    more = [new_delivery(first.incident_id, "ops", event, first.payload, work.now) for event in events]
    await work.store.run(lambda unit: unit.enqueue(more))
    await work.look()
    return [first, *more]


def actions(receiver: HttpReceiver) -> list[str]:
    return [request.json()["event_action"] for request in receiver.requests]


@pytest.mark.parametrize("event", [ACKNOWLEDGED, RESOLVED])
async def test_page_that_still_waits_is_cancelled_with_what_follows(
    bench: MakeBench, receiver: HttpReceiver, event: NotificationEvent
) -> None:
    work = await bench()
    receiver.script.append(Reply(500))
    [page] = await work.enqueue()
    await work.idle()
    all_rows = await follow(work, page, event)
    await work.advance(60)
    assert [row.status for row in await work.rows(all_rows)] == ["cancelled", "cancelled"]
    assert actions(receiver) == ["trigger"]
    kinds = [(entry.kind, entry.message) for entry in await work.timeline(page)]
    reason = "the incident was acknowledged or resolved before it could be sent"
    assert kinds == [
        (TimelineKind.NOTIFICATION_CANCELLED, f"triggered notification to ops: {reason}"),
        (TimelineKind.NOTIFICATION_CANCELLED, f"{event} notification to ops: {reason}"),
    ]


async def test_receiver_that_may_have_the_page_is_told_of_the_end(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench()
    receiver.script.append(CLOSE)  # it had the whole request
    [page] = await work.enqueue()
    await work.idle()
    rows = await follow(work, page, ACKNOWLEDGED, RESOLVED)
    await work.advance(60)
    await work.advance(60)
    assert [row.status for row in await work.rows(rows)] == ["cancelled", "delivered", "delivered"]
    assert actions(receiver) == ["trigger", "acknowledge", "resolve"]


async def test_escalation_that_waits_is_cancelled_and_the_rest_told_to_who_knows(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench()
    [page] = await work.enqueue()
    await work.idle()
    await work.advance(1)
    receiver.script.append(Reply(500))
    _, worse = await follow(work, page, ESCALATED)
    _, end = await follow(work, page, ACKNOWLEDGED)
    for _ in range(3):
        await work.advance(60)
    assert [row.status for row in await work.rows([page, worse, end])] == ["delivered", "cancelled", "delivered"]
    assert actions(receiver) == ["trigger", "trigger", "acknowledge"]


async def test_incident_that_gets_worse_after_the_acknowledgement_pages_anew(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench()
    receiver.script.append(Reply(500))
    [page] = await work.enqueue()
    await work.idle()
    rows = await follow(work, page, ACKNOWLEDGED, ESCALATED)
    await work.advance(60)
    await work.advance(60)
    assert [row.status for row in await work.rows(rows)] == ["cancelled", "cancelled", "delivered"]
    assert actions(receiver) == ["trigger", "trigger"]


async def test_page_is_checked_again_right_before_it_is_sent(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench(type="pagerduty", routing_key=KEY, url=receiver.url, allow_private=True, max_per_second=0.5)
    first, second = await work.enqueue(2)  # claimed together; the second one waits for its turn
    await work.idle()
    assert len(receiver.requests) == 1
    assert (await work.row(second)).leased_by is not None
    rows = await follow(work, second, ACKNOWLEDGED)
    await work.advance(2)
    assert [row.status for row in await work.rows(rows)] == ["cancelled", "cancelled"]
    assert [request.json()["dedup_key"] for request in receiver.requests] == [first.incident_id]


async def test_destination_that_wakes_nobody_is_told_everything_in_order(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench(**hook(receiver.url))
    receiver.script.append(Reply(500))
    [first] = await work.enqueue()
    await work.idle()
    rows = await follow(work, first, ACKNOWLEDGED, RESOLVED)
    for _ in range(4):
        await work.advance(60)
    assert {row.status for row in await work.rows(rows)} == {"delivered"}
    told = [request.json()["type"] for request in receiver.requests[1:]]
    assert told == ["incident.triggered", "incident.acknowledged", "incident.resolved"]


async def test_thread_and_warnings_are_kept_with_the_delivery_over_a_restart(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    slack = {"type": "slack_api", "token": "xoxb-1", "channel": "C1", "url": receiver.url, "allow_private": True}
    work = await bench(**slack)
    receiver.script.append(Reply(200, body=b'{"ok": false, "error": "invalid_blocks"}'))
    receiver.default = Reply(200, body=b'{"ok": true, "ts": "1.2"}')
    [first] = await work.enqueue()
    await work.idle()
    assert [entry.message for entry in await work.timeline(first)] == [
        "triggered notification delivered to ops; "
        "Slack refused its blocks (invalid_blocks) and it was sent as plain text"
    ]
    await work.dispatcher.stop()
    work.dispatchers.clear()
    await work.dispatch()
    await follow(work, first, ACKNOWLEDGED, RESOLVED)
    await work.advance(2)
    await work.advance(2)
    assert [request.json().get("thread_ts") for request in receiver.requests] == [None, None, "1.2", "1.2"]
