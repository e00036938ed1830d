"""Notifications are claimed by one worker at a time, in order, and settled once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from incident_manager.domain.alert import new_alert
from incident_manager.domain.delivery import Delivery, DeliveryStatus, NotificationEvent, new_delivery
from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.domain.timeline import TimelineKind
from incident_manager.store.database import Store
from recloser import CircuitBreaker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TRIGGERED, ACKNOWLEDGED, RESOLVED, ESCALATED = (
    NotificationEvent.TRIGGERED,
    NotificationEvent.ACKNOWLEDGED,
    NotificationEvent.RESOLVED,
    NotificationEvent.ESCALATED,
)


async def make_incident(store: Store, name: str = "a") -> Incident:
    incident, _ = open_from_alert(new_alert(source="s", title=name, received_at=NOW))
    await store.run(lambda unit: unit.insert(incident))
    return incident


async def enqueue(
    store: Store, incident: Incident, *events: NotificationEvent, to: str = "slack", at: datetime = NOW
) -> list[Delivery]:
    deliveries = [new_delivery(incident.id, to, event, {"title": incident.title}, at) for event in events]
    await store.run(lambda unit: unit.enqueue(deliveries))
    return deliveries


async def claim(
    store: Store, worker: str = "w1", *, to: str = "slack", at: datetime = NOW, lease: float = 30, limit: int = 10
) -> list[str]:
    """The ids a worker gets."""
    return [one.id for one in await store.outbox.claim(destination=to, worker=worker, now=at, lease=lease, limit=limit)]


async def rows(store: Store, incident: Incident) -> Sequence[Delivery]:
    return await store.read(lambda unit: unit.deliveries(incident.id))


async def row(store: Store, incident: Incident) -> Delivery:
    [only] = await rows(store, incident)
    return only


async def told(store: Store, incident: Incident) -> list[tuple[TimelineKind, str]]:
    return [(entry.kind, entry.message) for entry in await store.read(lambda unit: unit.timeline(incident.id))]


async def test_a_delivery_comes_back_the_same_with_its_lease(store: Store) -> None:
    incident = await make_incident(store)
    [sent] = await enqueue(store, incident, TRIGGERED)
    [claimed] = await store.outbox.claim(destination="slack", worker="w1", now=NOW, lease=30, limit=1)
    assert claimed == replace(sent, sequence=1, leased_by="w1", lease_until=NOW + 30 * SECOND)


async def test_deliveries_are_claimed_in_the_order_of_enqueueing_up_to_the_limit(store: Store) -> None:
    incidents = [await make_incident(store, str(number)) for number in range(5)]
    ids = [(await enqueue(store, incident, TRIGGERED))[0].id for incident in reversed(incidents)]
    assert await claim(store, limit=3) == ids[:3]
    assert await claim(store, limit=3) == ids[3:]
    assert await claim(store) == []


async def test_only_those_of_the_destination_are_claimed(store: Store) -> None:
    incident = await make_incident(store)
    [slack] = await enqueue(store, incident, TRIGGERED)
    [mail] = await enqueue(store, incident, TRIGGERED, to="mail")
    assert await claim(store, to="mail") == [mail.id]
    assert await claim(store, to="slack") == [slack.id]


async def test_nothing_is_claimed_before_it_is_due(store: Store) -> None:
    [delivery] = await enqueue(store, await make_incident(store), TRIGGERED, at=NOW + 10 * SECOND)
    assert await claim(store, at=NOW + 9 * SECOND) == []
    assert await claim(store, at=NOW + 10 * SECOND) == [delivery.id]


async def test_a_leased_delivery_is_nobody_elses_until_the_lease_ends(store: Store) -> None:
    [delivery] = await enqueue(store, await make_incident(store), TRIGGERED)
    assert await claim(store, "w1", lease=30) == [delivery.id]
    assert await claim(store, "w2", at=NOW + 29 * SECOND) == []
    assert await claim(store, "w2", at=NOW + 30 * SECOND) == [delivery.id], "the same id again, for the receiver"


async def test_leases_of_a_dead_process_are_retaken_after_a_restart(
    store: Store, url: str, breaker: CircuitBreaker
) -> None:
    [delivery] = await enqueue(store, await make_incident(store), TRIGGERED)
    assert await claim(store, "dead", lease=30) == [delivery.id]
    await store.close()
    again = Store(url, breaker)
    await again.start()
    try:
        assert await claim(again, "w2", at=NOW + 1 * SECOND) == []
        assert await claim(again, "w2", at=NOW + 31 * SECOND) == [delivery.id]
    finally:
        await again.close()


async def test_a_later_notification_waits_for_the_earlier_of_its_incident(store: Store) -> None:
    incident = await make_incident(store)
    trigger, resolve = await enqueue(store, incident, TRIGGERED, RESOLVED)
    assert await claim(store, limit=10) == [trigger.id], "not both, however many are asked for"
    assert await claim(store, "w2") == []
    await store.outbox.retry_later(trigger.id, "w1", NOW + 60 * SECOND, "timeout", count_attempt=True)
    assert await claim(store, at=NOW + 59 * SECOND) == [], "the resolve is due, but its trigger has not been sent"
    assert await claim(store, at=NOW + 60 * SECOND) == [trigger.id]
    await store.outbox.mark_delivered(trigger.id, "w1", NOW + 60 * SECOND)
    assert await claim(store, at=NOW + 60 * SECOND) == [resolve.id]


async def test_order_is_kept_for_each_incident_and_destination_apart(store: Store) -> None:
    first, second = await make_incident(store, "a"), await make_incident(store, "b")
    [stuck, _] = await enqueue(store, first, TRIGGERED, RESOLVED, at=NOW)
    [free] = await enqueue(store, second, TRIGGERED)
    [elsewhere] = await enqueue(store, first, TRIGGERED, to="mail")
    assert await claim(store, limit=1) == [stuck.id]
    assert await claim(store) == [free.id]
    assert await claim(store, to="mail") == [elsewhere.id]


async def test_delivered_counts_the_attempt_and_tells_the_timeline(store: Store) -> None:
    incident = await make_incident(store)
    [delivery] = await enqueue(store, incident, TRIGGERED)
    await claim(store)
    await store.outbox.retry_later(delivery.id, "w1", NOW, "429", count_attempt=True)
    await claim(store)
    await store.outbox.mark_delivered(delivery.id, "w1", NOW + SECOND)
    after = await row(store, incident)
    assert (after.status, after.attempts, after.delivered_at) == (DeliveryStatus.DELIVERED, 2, NOW + SECOND)
    assert (after.last_error, after.leased_by, after.lease_until) == (None, None, None)
    [entry] = await store.read(lambda unit: unit.timeline(incident.id))
    assert (entry.kind, entry.at, entry.actor) == (TimelineKind.NOTIFICATION_DELIVERED, NOW + SECOND, "system")
    assert entry.message == "triggered notification delivered to slack"
    assert entry.data == {"delivery_id": delivery.id, "destination": "slack", "event": "triggered", "attempts": 2}
    assert await claim(store, at=NOW + 999 * SECOND) == []


async def test_a_retry_keeps_the_error_and_counts_only_what_was_sent(store: Store) -> None:
    incident = await make_incident(store)
    [delivery] = await enqueue(store, incident, TRIGGERED)
    await claim(store)
    await store.outbox.retry_later(delivery.id, "w1", NOW + 5 * SECOND, "circuit open", count_attempt=False)
    after = await row(store, incident)
    assert (after.status, after.attempts, after.last_error) == (DeliveryStatus.PENDING, 0, "circuit open")
    assert (after.next_attempt_at, after.leased_by, after.lease_until) == (NOW + 5 * SECOND, None, None)
    await claim(store, at=NOW + 5 * SECOND)
    await store.outbox.retry_later(delivery.id, "w1", NOW + 9 * SECOND, "refused", count_attempt=True)
    assert (await row(store, incident)).attempts == 1
    assert await told(store, incident) == []


async def test_failed_is_final_and_tells_the_timeline(store: Store) -> None:
    incident = await make_incident(store)
    [delivery] = await enqueue(store, incident, TRIGGERED)
    await claim(store)
    await store.outbox.mark_failed(delivery.id, "w1", NOW + SECOND, "HTTP 404")
    after = await row(store, incident)
    assert (after.status, after.attempts, after.last_error) == (DeliveryStatus.FAILED, 1, "HTTP 404")
    assert await told(store, incident) == [
        (
            TimelineKind.NOTIFICATION_FAILED,
            "triggered notification could not be delivered to slack: HTTP 404",
        )
    ]
    assert await claim(store, at=NOW + 999 * SECOND) == []


async def test_what_follows_a_failed_trigger_is_cancelled_there_and_only_there(store: Store) -> None:
    incident, other = await make_incident(store), await make_incident(store, "b")
    trigger, *followers = await enqueue(store, incident, TRIGGERED, ACKNOWLEDGED, ESCALATED, RESOLVED)
    await enqueue(store, incident, RESOLVED, to="mail")
    await enqueue(store, other, RESOLVED)
    await claim(store, limit=1)
    await store.outbox.mark_failed(trigger.id, "w1", NOW, "HTTP 404")
    assert [(one.event, one.status) for one in await rows(store, incident)] == [
        (TRIGGERED, DeliveryStatus.FAILED),
        (ACKNOWLEDGED, DeliveryStatus.CANCELLED),
        (ESCALATED, DeliveryStatus.PENDING),
        (RESOLVED, DeliveryStatus.CANCELLED),
        (RESOLVED, DeliveryStatus.PENDING),
    ]
    assert (await row(store, other)).status is DeliveryStatus.PENDING
    kinds = [kind for kind, _ in await told(store, incident)]
    assert kinds == [TimelineKind.NOTIFICATION_FAILED] + 2 * [TimelineKind.NOTIFICATION_CANCELLED]
    assert len(followers) == 3


async def test_a_failed_follower_cancels_nothing(store: Store) -> None:
    incident = await make_incident(store)
    trigger, acknowledged, _ = await enqueue(store, incident, TRIGGERED, ACKNOWLEDGED, RESOLVED)
    await claim(store)
    await store.outbox.mark_delivered(trigger.id, "w1", NOW)
    assert await claim(store) == [acknowledged.id]
    await store.outbox.mark_failed(acknowledged.id, "w1", NOW, "HTTP 400")
    assert (await rows(store, incident))[2].status is DeliveryStatus.PENDING


async def test_a_worker_that_lost_its_lease_changes_nothing(store: Store) -> None:
    incident = await make_incident(store)
    [delivery] = await enqueue(store, incident, TRIGGERED)
    await claim(store, "slow", lease=1)
    await claim(store, "quick", at=NOW + SECOND)
    before = await row(store, incident)
    await store.outbox.mark_delivered(delivery.id, "slow", NOW)
    await store.outbox.mark_failed(delivery.id, "slow", NOW, "x")
    await store.outbox.retry_later(delivery.id, "slow", NOW, "x", count_attempt=True)
    await store.outbox.release("slow")
    assert await row(store, incident) == before
    assert await told(store, incident) == []
    await store.outbox.mark_delivered(delivery.id, "quick", NOW + SECOND)
    await store.outbox.mark_failed(delivery.id, "quick", NOW, "twice")
    assert (await row(store, incident)).status is DeliveryStatus.DELIVERED
    assert len(await told(store, incident)) == 1


async def test_release_gives_back_what_one_worker_holds(store: Store) -> None:
    ids = [(await enqueue(store, await make_incident(store, str(number)), TRIGGERED))[0].id for number in range(3)]
    await claim(store, "w1", limit=2)
    await claim(store, "w2", limit=1)
    await store.outbox.release("w1")
    assert await claim(store, "w3") == ids[:2]


async def test_deferring_moves_what_is_due_earlier_and_nobody_holds(store: Store) -> None:
    incidents = [await make_incident(store, str(number)) for number in range(4)]
    for incident, at in zip(incidents, (0, 0, 5, 90), strict=True):
        await enqueue(store, incident, TRIGGERED, at=NOW + at * SECOND)
    await enqueue(store, incidents[0], TRIGGERED, to="mail")
    held = await claim(store, limit=1)
    await store.outbox.defer(destination="slack", until=NOW + 60 * SECOND)
    times = [[one.next_attempt_at for one in await rows(store, incident)] for incident in incidents]
    later, latest = NOW + 60 * SECOND, NOW + 90 * SECOND
    assert times == [[NOW, NOW], [later], [later], [latest]]
    assert len(held) == 1
    for incident in incidents:
        assert {one.attempts for one in await rows(store, incident)} == {0}


async def test_hastening_moves_what_is_due_later_and_nobody_holds(store: Store) -> None:
    incidents = [await make_incident(store, str(number)) for number in range(2)]
    await enqueue(store, incidents[0], TRIGGERED, at=NOW - SECOND)
    await enqueue(store, incidents[1], TRIGGERED, at=NOW + 60 * SECOND)
    await store.outbox.hasten(destination="slack", at=NOW)
    assert [(await row(store, incident)).next_attempt_at for incident in incidents] == [NOW - SECOND, NOW]


async def test_waiting_counts_what_is_owed_by_destination(store: Store) -> None:
    incident = await make_incident(store)
    assert await store.outbox.waiting() == {}
    [delivery] = await enqueue(store, incident, TRIGGERED)
    await enqueue(store, incident, TRIGGERED, RESOLVED, to="mail")
    assert await store.outbox.waiting() == {"slack": 1, "mail": 2}
    await claim(store)
    assert (await store.outbox.waiting())["slack"] == 1, "it is owed while it is being sent"
    await store.outbox.mark_delivered(delivery.id, "w1", NOW)
    assert await store.outbox.waiting() == {"mail": 2}


async def test_next_due_is_when_the_next_claim_can_succeed(store: Store) -> None:
    incident, other = await make_incident(store), await make_incident(store, "b")
    assert await store.outbox.next_due("slack") is None
    [delivery] = await enqueue(store, incident, TRIGGERED, at=NOW + 20 * SECOND)
    await enqueue(store, incident, RESOLVED, at=NOW)
    assert await store.outbox.next_due("slack") == NOW + 20 * SECOND, "the resolve waits for its trigger"
    await claim(store, at=NOW + 20 * SECOND, lease=30)
    assert await store.outbox.next_due("slack") == NOW + 50 * SECOND, "when the lease ends"
    await enqueue(store, other, TRIGGERED, at=NOW + 40 * SECOND)
    assert await store.outbox.next_due("slack") == NOW + 40 * SECOND
    await store.outbox.mark_delivered(delivery.id, "w1", NOW + 20 * SECOND)
    assert await store.outbox.next_due("slack") == NOW
    assert await store.outbox.next_due("mail") is None


async def test_two_processes_never_hold_the_same_delivery(store: Store, url: str, breaker: CircuitBreaker) -> None:
    """Two stores are two connections, as two processes would have."""
    expected = set()
    for number in range(40):
        expected |= {one.id for one in await enqueue(store, await make_incident(store, str(number)), TRIGGERED)}
    other = Store(url, breaker, busy_timeout=30)
    await other.start()

    async def drain(of: Store, worker: str) -> list[str]:
        got: list[str] = []
        while True:
            try:
                some = await claim(of, worker, limit=3)
            except StoreUnavailableError:  # the other one was writing
                continue
            if not some:
                return got
            got += some

    try:
        results = await asyncio.gather(drain(store, "w1"), drain(other, "w2"), drain(store, "w3"), drain(other, "w4"))
    finally:
        await other.close()
    claimed = [one for result in results for one in result]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) == expected


@pytest.mark.parametrize("method", ["waiting", "claim", "mark_delivered", "release"])
async def test_an_unusable_store_is_told_to_the_worker(store: Store, breaker: CircuitBreaker, method: str) -> None:
    breaker.force_open("maintenance")
    calls = {
        "waiting": lambda: store.outbox.waiting(),
        "claim": lambda: claim(store),
        "mark_delivered": lambda: store.outbox.mark_delivered("msg_1", "w1", NOW),
        "release": lambda: store.outbox.release("w1"),
    }
    with pytest.raises(StoreUnavailableError):
        await calls[method]()
