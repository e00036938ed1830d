"""Whatever several workers do, and die doing, each notification goes out, in order, to one of them at a time."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from incident_manager.domain.alert import new_alert
from incident_manager.domain.delivery import Delivery, DeliveryStatus, NotificationEvent, new_delivery
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.store.database import Store
from recloser import CircuitBreaker

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = 30
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where files cost no wait for a disk; what is tested here is not that they survive a loss of power."""
workers = st.sampled_from(["w1", "w2", "w3"])
destinations = st.sampled_from(["slack", "mail"])


class Workers(RuleBasedStateMachine):
    """Acts on a real store; `held` is what each worker believes to hold, and until when."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.runner = asyncio.Runner()
        self.store = Store(f"sqlite:///{self.folder.name}/x.db", CircuitBreaker("database"))
        self.runner.run(self.store.start())
        self.now = START
        self.held: dict[str, tuple[str, datetime]] = {}
        self.forgotten: set[str] = set()
        self.deliveries: dict[str, Delivery] = {}
        self.settled: dict[tuple[str, str], list[str]] = {}
        incidents = [open_from_alert(new_alert(source="s", title=name, received_at=START))[0] for name in "ab"]
        self.incidents = [incident.id for incident in incidents]
        self.runner.run(self.store.run(lambda unit: unit.insert(*incidents)))

    def teardown(self) -> None:
        self.drain()
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(number=st.integers(0, 1), destination=destinations, count=st.integers(1, 3))
    def enqueue(self, number: int, destination: str, count: int) -> None:
        new = [
            new_delivery(self.incidents[number], destination, NotificationEvent.ESCALATED, {}, self.now)
            for _ in range(count)
        ]
        self.runner.run(self.store.run(lambda unit: unit.enqueue(new)))
        self.deliveries |= {one.id: one for one in new}

    @rule(worker=workers, destination=destinations, limit=st.integers(1, 3))
    def claim(self, worker: str, destination: str, limit: int) -> None:
        claimed = self.runner.run(
            self.store.outbox.claim(destination=destination, worker=worker, now=self.now, lease=LEASE, limit=limit)
        )
        assert len(claimed) <= limit
        for one in claimed:
            assert one.destination == destination
            if one.id in self.held:
                assert self.held[one.id][1] <= self.now, "it was leased to another worker"
            self.held[one.id] = (worker, self.now + timedelta(seconds=LEASE))
            self.forgotten.discard(one.id)

    @rule(seconds=st.integers(1, 40))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.held.keys() - self.forgotten)
    @rule(data=st.data(), how=st.sampled_from(["delivered", "failed", "later", "deferred"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        delivery_id = data.draw(st.sampled_from(sorted(self.held.keys() - self.forgotten)))
        worker, _ = self.held.pop(delivery_id)
        with self.settling(delivery_id, how):
            match how:
                case "delivered":
                    done = self.store.outbox.mark_delivered(delivery_id, worker, self.now)
                case "failed":
                    done = self.store.outbox.mark_failed(delivery_id, worker, self.now, "no")
                case _:
                    again = self.now + timedelta(seconds=20)
                    done = self.store.outbox.retry_later(delivery_id, worker, again, "no", how == "later")
            self.runner.run(done)

    @contextmanager
    def settling(self, delivery_id: str, how: str) -> Iterator[None]:
        yield
        if how in ("delivered", "failed"):
            one = self.deliveries[delivery_id]
            self.settled.setdefault((one.incident_id, one.destination), []).append(delivery_id)

    @rule(worker=workers)
    def worker_stops(self, worker: str) -> None:
        self.runner.run(self.store.outbox.release(worker))
        self.held = {key: held for key, held in self.held.items() if held[0] != worker}

    @rule(worker=workers)
    def worker_dies(self, worker: str) -> None:
        """It forgets what it holds; the end of its leases frees that."""
        self.forgotten |= {key for key, (holder, _) in self.held.items() if holder == worker}

    @rule(destination=destinations, seconds=st.integers(1, 60))
    def breaker_opens(self, destination: str, seconds: int) -> None:
        until = self.now + timedelta(seconds=seconds)
        self.runner.run(self.store.outbox.defer(destination=destination, until=until))

    @invariant()
    def something_is_due_while_something_waits(self) -> None:
        waiting = self.runner.run(self.store.outbox.waiting())
        for destination in ("slack", "mail"):
            due = self.runner.run(self.store.outbox.next_due(destination))
            assert (due is None) == (destination not in waiting)

    @invariant()
    def order_is_that_of_enqueueing(self) -> None:
        for (incident_id, destination), ids in self.settled.items():
            enqueued = [
                one.id
                for one in self.deliveries.values()
                if (one.incident_id, one.destination) == (incident_id, destination)
            ]
            assert ids == enqueued[: len(ids)]

    def drain(self) -> None:
        """A worker that lives on delivers all the rest, in order."""
        self.now += timedelta(days=1)
        for destination in ("slack", "mail"):
            while True:
                got = self.runner.run(
                    self.store.outbox.claim(destination=destination, worker="last", now=self.now, lease=LEASE, limit=9)
                )
                if not got:
                    break
                for one in got:
                    with self.settling(one.id, "delivered"):
                        self.runner.run(self.store.outbox.mark_delivered(one.id, "last", self.now))
        self.order_is_that_of_enqueueing()
        assert self.runner.run(self.store.outbox.waiting()) == {}
        for incident_id in self.incidents:
            for one in self.runner.run(self.store.read(lambda unit, key=incident_id: unit.deliveries(key))):
                assert one.status in (DeliveryStatus.DELIVERED, DeliveryStatus.FAILED)


Workers.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestWorkers = Workers.TestCase
