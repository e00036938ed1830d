"""What becomes of deliveries: sent once, in order, retried, deferred, never dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dispatching import Bench, hook
from http_receiver import CLOSE, HANG, HttpReceiver, Reply

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.notify.dispatcher import Destination
from incident_manager.notify.factory import build_destinations
from incident_manager.notify.notifier import Receipt
from recloser import State
from recloser.testing import FakeClock

MakeBench = Callable[..., Any]


@pytest.fixture
async def bench(tmp_path: Path, clock: FakeClock, receiver: HttpReceiver) -> AsyncIterator[MakeBench]:
    """Make a bench with the destination `ops` at the receiver; keyword arguments are settings."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Bench:
            values = {"destinations": {"ops": hook(receiver.url)}, **settings}
            return await stack.enter_async_context(Bench(tmp_path, clock, **values))

        yield make


def ids(receiver: HttpReceiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


async def test_delivery_is_sent_once_and_noted_in_the_timeline(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench()
    await work.dispatch()
    await work.idle()
    [delivery] = await work.enqueue()
    await work.idle()
    row = await work.row(delivery)
    assert (row.status, row.attempts, row.delivered_at) == ("delivered", 1, work.now)
    assert ids(receiver) == [delivery.id]
    [entry] = await work.timeline(delivery)
    assert "delivered to ops" in entry.message


async def test_what_an_earlier_process_left_is_delivered(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench()
    deliveries = await work.enqueue(3)
    await work.dispatch()
    await work.idle()
    assert ids(receiver) == [delivery.id for delivery in deliveries]


async def test_delivery_enqueued_without_a_word_is_found_by_looking(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench()
    await work.dispatch()
    await work.idle()
    dispatcher = work.dispatchers.pop()  # enqueue() cannot wake it, as another process could not
    await work.enqueue()
    work.dispatchers.append(dispatcher)
    await work.advance(14.9)
    assert receiver.requests == []
    await work.advance(0.1)
    assert len(receiver.requests) == 1


async def test_rate_limited_delivery_waits_as_long_as_asked_and_delays_nobody_else(
    bench: MakeBench, receiver: HttpReceiver, clock: FakeClock
) -> None:
    async with HttpReceiver() as other:
        destinations = {
            "slack": {"type": "slack", "url": receiver.url, "allow_private": True},
            "pager": hook(other.url),
        }
        work = await bench(destinations=destinations)
        receiver.script.append(Reply(429, {"Retry-After": "7"}, b"rate_limited"))
        await work.dispatch()
        [limited] = await work.enqueue(destination="slack")
        await work.idle()
        [free] = await work.enqueue(destination="pager")
        await work.idle()
        assert (await work.row(free)).status == "delivered"
        assert (len(receiver.requests), len(other.requests)) == (1, 1)
        await work.advance(6.9)
        await work.look()
        assert len(receiver.requests) == 1
        await work.advance(0.1)
        row = await work.row(limited)
        assert (len(receiver.requests), row.status, row.attempts) == (2, "delivered", 2)


async def test_rate_limit_holds_back_what_comes_after(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench()
    receiver.script.append(Reply(503, {"Retry-After": "30"}))
    deliveries = await work.enqueue(5)
    await work.dispatch()
    await work.idle()
    assert len(receiver.requests) == 1
    assert [row.attempts for row in await work.rows(deliveries)] == [1, 0, 0, 0, 0]
    await work.advance(30)
    assert {row.status for row in await work.rows(deliveries)} == {"delivered"}


@pytest.mark.parametrize("reply", [Reply(408), Reply(425), Reply(500), Reply(502), Reply(504), CLOSE], ids=str)
async def test_transient_trouble_is_tried_again_with_growing_waits(
    bench: MakeBench, receiver: HttpReceiver, reply: Reply
) -> None:
    work = await bench()
    receiver.script.extend([reply] * 3)
    [delivery] = await work.enqueue()
    await work.dispatch()
    await work.idle()
    for attempt, seconds in ((1, 0.5), (2, 1.0), (3, 2.0)):
        row = await work.row(delivery)
        assert (row.status, row.attempts) == ("pending", attempt)
        assert row.next_attempt_at - work.now == timedelta(seconds=seconds)
        assert row.last_error
        await work.advance(seconds)
    row = await work.row(delivery)
    assert (row.status, row.attempts, row.last_error) == ("delivered", 4, None)
    assert ids(receiver) == [delivery.id] * 4


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 413, 422])
async def test_refused_delivery_fails_after_one_attempt_and_is_noted(
    bench: MakeBench, receiver: HttpReceiver, status: int
) -> None:
    work = await bench()
    receiver.default = Reply(status)
    [delivery] = await work.enqueue()
    await work.dispatch()
    await work.idle()
    row = await work.row(delivery)
    assert (row.status, row.attempts, len(receiver.requests)) == ("failed", 1, 1)
    [entry] = await work.timeline(delivery)
    assert f"answered {status}" in entry.message


async def test_refusals_do_not_open_the_breaker(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 2}})
    receiver.script.extend([Reply(400)] * 10)
    deliveries = await work.enqueue(11)
    await work.dispatch()
    await work.idle()
    statuses = [row.status for row in await work.rows(deliveries)]
    assert statuses == ["failed"] * 10 + ["delivered"]
    assert work.breaker().state is State.CLOSED


async def test_refused_probe_gives_its_place_to_the_next(bench: MakeBench, receiver: HttpReceiver) -> None:
    breaker = {"failure_threshold": 1, "open_for": 10, "half_open_max_calls": 1}
    work = await bench(breakers={"notify:ops": breaker})
    receiver.script.extend([Reply(500), Reply(400)])
    deliveries = await work.enqueue(3)
    await work.dispatch()
    await work.idle()
    assert work.breaker().state is State.OPEN
    await work.advance(10)
    assert [row.status for row in await work.rows(deliveries)] == ["failed", "delivered", "delivered"]
    assert work.breaker().state is State.CLOSED


async def test_gone_destination_is_held_until_a_person_resets_it(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench()
    receiver.script.append(Reply(410))
    deliveries = await work.enqueue(3)
    await work.dispatch()
    await work.idle()
    assert [row.status for row in await work.rows(deliveries)] == ["failed", "pending", "pending"]
    assert "answered 410" in (work.breaker().control_reason or "")
    assert any("410" in entry.message for entry in await work.timeline(deliveries[0]))
    await work.advance(3600)
    assert len(receiver.requests) == 1
    work.breaker().reset("the endpoint was put back")
    await work.settled(deliveries)
    assert ids(receiver) == [delivery.id for delivery in deliveries]


async def test_dead_endpoint_costs_five_requests_then_rows_wait_and_drain_in_order(
    bench: MakeBench, receiver: HttpReceiver, clock: FakeClock
) -> None:
    destination = hook(receiver.url, max_per_second=2)
    breaker = {"failure_threshold": 5, "open_for": 60}
    work = await bench(destinations={"ops": destination}, breakers={"notify:ops": breaker})
    receiver.default = Reply(500)
    deliveries = await work.enqueue(100)
    await work.dispatch()
    await work.idle()
    for _ in range(4):
        await work.advance(0.5)
    assert work.breaker().state is State.OPEN
    open_until = work.now + timedelta(seconds=60)
    rows = await work.rows(deliveries)
    assert [row.attempts for row in rows] == [1] * 5 + [0] * 95
    assert {row.status for row in rows} == {"pending"}
    assert all(row.next_attempt_at >= open_until for row in rows)
    await work.advance(59.9)
    await work.look()
    assert len(receiver.requests) == 5

    receiver.default = Reply(200)
    receiver.requests.clear()
    await work.advance(0.1)
    assert (len(receiver.requests), work.breaker().state) == (1, State.CLOSED)
    for sent in range(2, 101):
        await work.advance(0.5)
        assert len(receiver.requests) == sent
    assert ids(receiver) == [delivery.id for delivery in deliveries]
    assert {row.status for row in await work.rows(deliveries)} == {"delivered"}


async def test_failed_probe_waits_for_another_open_period_and_costs_one_request(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 3, "open_for": 60}})
    await receiver.refuse()
    deliveries = await work.enqueue(20)
    await work.dispatch()
    await work.idle()
    await work.advance(60)
    rows = await work.rows(deliveries)
    assert sum(row.attempts for row in rows) == 4
    assert all(row.next_attempt_at >= work.now + timedelta(seconds=60) for row in rows)
    await receiver.listen()
    await work.advance(60)
    assert {row.status for row in await work.rows(deliveries)} == {"delivered"}
    assert ids(receiver) == [delivery.id for delivery in deliveries]


async def test_delivery_enqueued_while_the_breaker_is_open_is_deferred_too(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 1, "open_for": 60}})
    receiver.script.append(Reply(500))
    await work.enqueue()
    await work.dispatch()
    await work.idle()
    await work.advance(20)
    [late] = await work.enqueue()
    await work.idle()
    row = await work.row(late)
    assert (row.attempts, row.next_attempt_at) == (0, work.now + timedelta(seconds=40))


async def test_reset_by_an_operator_delivers_at_once_what_was_deferred(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 1, "open_for": 3600}})
    receiver.script.append(Reply(500))
    deliveries = await work.enqueue(3)
    await work.dispatch()
    await work.idle()
    work.breaker().reset("mended")
    assert {row.status for row in await work.settled(deliveries)} == {"delivered"}


async def test_breaker_held_open_by_an_operator_keeps_everything_until_it_is_let_go(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench()
    work.breaker().force_open("maintenance")
    await work.dispatch()
    deliveries = await work.enqueue(3)
    await work.idle()
    await work.advance(7200)
    assert receiver.requests == []
    assert {(row.status, row.attempts) for row in await work.rows(deliveries)} == {("pending", 0)}
    work.breaker().automatic("maintenance is over")
    await work.settled(deliveries)
    assert ids(receiver) == [delivery.id for delivery in deliveries]


async def test_shadow_mode_rejects_nothing(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 1, "open_for": 3600}})
    work.breaker().observe_only("trying out the thresholds")
    receiver.script.append(Reply(500))
    deliveries = await work.enqueue(3)
    await work.dispatch()
    await work.idle()
    await work.advance(0.5)
    assert {row.status for row in await work.rows(deliveries)} == {"delivered"}


async def test_end_of_an_incident_is_never_told_before_its_beginning(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 100}})
    receiver.script.extend([Reply(500)] * 3)
    events = (NotificationEvent.TRIGGERED, NotificationEvent.ACKNOWLEDGED, NotificationEvent.RESOLVED)
    await work.enqueue(2, events=events)
    await work.dispatch()
    await work.idle()
    for _ in range(4):
        await work.advance(300)
    told: dict[str, list[str]] = {}
    for request in receiver.requests[3:]:
        message = request.json()
        told.setdefault(message["data"]["incident"]["id"], []).append(message["type"])
    assert list(told.values()) == [["incident.triggered", "incident.acknowledged", "incident.resolved"]] * 2


async def test_hanging_destination_delays_nobody_else(bench: MakeBench, receiver: HttpReceiver) -> None:
    async with HttpReceiver() as other:
        work = await bench(destinations={"ops": hook(receiver.url), "pager": hook(other.url)})
        receiver.default = HANG
        await work.enqueue(5, destination="ops")
        deliveries = await work.enqueue(20, destination="pager")
        await work.dispatch()
        assert {row.status for row in await work.settled(deliveries)} == {"delivered"}
        assert len(receiver.requests) == 1


async def test_delivery_that_never_succeeds_is_given_up_by_age(
    bench: MakeBench, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 10_000}})
    receiver.default = Reply(500)
    [delivery] = await work.enqueue()
    await work.dispatch(give_up_after=3600.0)
    await work.idle()
    await work.advance(3599)
    assert (await work.row(delivery)).status == "pending"
    await work.advance(300)
    row = await work.row(delivery)
    assert row.status == "failed"
    assert "given up after 1.1 h" in (row.last_error or "")
    assert any("given up" in entry.message for entry in await work.timeline(delivery))
    assert any(record.levelname == "ERROR" and "given up" in record.getMessage() for record in caplog.records)


async def test_late_delivery_is_still_sent_when_the_endpoint_is_back(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench()
    [delivery] = await work.enqueue()
    work.clock.advance(100 * 3600)
    await work.dispatch()
    await work.idle()
    assert (await work.row(delivery)).status == "delivered"


async def test_lease_is_given_back_before_it_could_end_in_the_middle_of_a_send(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench(destinations={"ops": hook(receiver.url, max_per_second=0.25)})
    deliveries = await work.enqueue(5)
    await work.dispatch(lease=15.0, send_timeout=10.0)
    await work.idle()
    leased = [sum(row.lease_until is not None for row in await work.rows(deliveries))]
    for _ in range(4):
        await work.advance(4)
        rows = await work.rows(deliveries)
        assert all(row.lease_until is None or row.lease_until > work.now for row in rows)
        leased.append(sum(row.lease_until is not None for row in rows))
    assert leased == [4, 3, 2, 1, 0]
    assert ids(receiver) == [delivery.id for delivery in deliveries]


async def test_deliveries_of_a_destination_that_is_gone_from_the_settings_are_kept_and_told(
    bench: MakeBench, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    work = await bench()
    [delivery] = await work.enqueue(destination="former")
    await work.dispatch()
    await work.idle()
    assert (await work.row(delivery)).status == "pending"
    assert "1 deliveries wait for 'former', which the settings no longer have" in caplog.text


class Broken:
    """A notifier with a fault, whose exception holds a secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.sent = 0

    async def send(self, delivery: object) -> Receipt:
        self.sent += 1
        if self.sent == 1:
            raise KeyError(self.secret)
        return Receipt()

    async def close(self) -> None:
        pass


async def test_fault_of_a_notifier_is_logged_without_its_text_and_retried(
    bench: MakeBench, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 1}})
    deliveries = await work.enqueue(2)
    await work.dispatch({"ops": Destination(Broken("SECRET"), work.breaker())})
    await work.idle()
    first, second = await work.rows(deliveries)
    assert (first.status, second.status) == ("pending", "delivered")
    assert first.last_error == "unexpected KeyError while sending; the log says where"
    assert work.breaker().state is State.CLOSED
    assert "in send" in caplog.text
    assert "SECRET" not in caplog.text
    await work.advance(0.5)
    assert (await work.row(deliveries[0])).status == "delivered"


async def test_two_workers_send_each_delivery_once(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench()
    deliveries = await work.enqueue(200)
    await work.dispatch()
    await work.dispatch()
    await work.settled(deliveries)
    assert sorted(ids(receiver)) == sorted(delivery.id for delivery in deliveries)


async def test_what_a_killed_worker_had_claimed_is_sent_by_another_with_the_same_id(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench()
    deliveries = await work.enqueue(30)
    all_ids = {delivery.id for delivery in deliveries}
    # A worker that was killed in the middle: it claimed ten, had one delivered and died before it wrote so.
    killed = await work.store.outbox.claim(destination="ops", worker="killed", now=work.now, lease=60, limit=10)
    assert len(killed) == 10
    await send_only(work, killed[0])
    await work.dispatch()
    await work.idle()
    assert set(ids(receiver)) == all_ids - {row.id for row in killed} | {killed[0].id}
    for _ in range(4):
        await work.advance(15)
    assert {row.status for row in await work.rows(deliveries)} == {"delivered"}
    assert set(ids(receiver)) == all_ids
    assert [id for id in all_ids if ids(receiver).count(id) > 1] == [killed[0].id]


async def send_only(work: Bench, delivery: Any) -> None:
    notifier = build_destinations(work.settings, work.registry, work.clock)["ops"].notifier
    await notifier.send(delivery)
    await notifier.close()


async def test_stop_lets_the_send_under_way_finish_and_gives_back_the_rest(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench()
    answer = asyncio.Event()
    receiver.script.append(Reply(200, after=answer))
    deliveries = await work.enqueue(5)
    dispatcher = await work.dispatch()
    await receiver.received(1)
    stopping = asyncio.create_task(dispatcher.stop(grace=20))
    await asyncio.sleep(0)  # the lanes are told to stop before anything is awaited
    answer.set()
    await stopping
    rows = await work.rows(deliveries)
    assert [row.status for row in rows] == ["delivered"] + ["pending"] * 4
    assert {(row.leased_by, row.lease_until, row.attempts) for row in rows[1:]} == {(None, None, 0)}


async def test_stop_cuts_off_a_send_that_hangs_and_it_is_sent_again_with_the_same_id(
    bench: MakeBench, receiver: HttpReceiver
) -> None:
    work = await bench()
    receiver.script.append(HANG)
    [delivery] = await work.enqueue()
    dispatcher = await work.dispatch()
    await receiver.received(1)
    await dispatcher.stop(grace=0)
    row = await work.row(delivery)
    assert (row.status, row.leased_by, row.attempts) == ("pending", None, 0)
    assert work.breaker().stats().in_flight == 0
    work.dispatchers.clear()
    await work.dispatch()
    await work.settled([delivery])
    assert ids(receiver) == [delivery.id, delivery.id]


async def test_stopping_twice_and_without_a_start_is_harmless(bench: MakeBench) -> None:
    work = await bench()
    dispatcher = await work.dispatch()
    await dispatcher.stop()
    await dispatcher.stop()
    assert not dispatcher.ready


async def test_closed_port_then_open_port_delivers_everything(bench: MakeBench, receiver: HttpReceiver) -> None:
    work = await bench(breakers={"notify:ops": {"failure_threshold": 3, "open_for": 5}})
    await receiver.refuse()
    deliveries = await work.enqueue(10)
    await work.dispatch()
    await work.idle()
    assert work.breaker().state is State.OPEN
    assert "could not connect" in (work.breaker().last_failure or "")
    await receiver.listen()
    await work.advance(5)
    assert {row.status for row in await work.rows(deliveries)} == {"delivered"}
    assert work.breaker().state is State.CLOSED


async def test_secret_of_a_url_is_in_no_log_no_row_no_timeline_and_no_breaker(
    bench: MakeBench, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = receiver.url.replace("/hook", "/services/T/B/SECRET")
    slack = {"type": "slack", "url": url, "allow_private": True, "max_per_second": None}
    work = await bench(destinations={"ops": slack}, breakers={"notify:ops": {"failure_threshold": 4}})
    receiver.script.extend([Reply(200), Reply(500), Reply(404), Reply(400, body=b"bad /T/B/SECRET"), CLOSE])
    deliveries = await work.enqueue(5)
    await work.dispatch()
    await work.idle()
    await receiver.refuse()
    deliveries += await work.enqueue(5)
    await work.idle()
    assert work.breaker().state is State.OPEN
    shown = [caplog.text, repr(work.breaker().stats()), repr(work.settings), str(work.dispatcher.problems())]
    shown += [repr(row) for row in await work.rows(deliveries)]
    shown += [repr(await work.timeline(delivery)) for delivery in deliveries]
    assert "could not connect" in caplog.text
    assert [text for text in shown if "SECRET" in text] == []
