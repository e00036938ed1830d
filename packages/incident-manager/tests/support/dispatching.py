"""A dispatcher over a real store and real receivers, in time that only the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from incident_manager.domain.delivery import Delivery, NotificationEvent, new_delivery
from incident_manager.domain.ids import new_id
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineEntry
from incident_manager.notify.backoff import Backoff
from incident_manager.notify.dispatcher import Destination, Dispatcher
from incident_manager.notify.factory import build_destinations
from incident_manager.notify.pacing import DispatchPolicy
from incident_manager.protection import breaker_table, build_registry
from incident_manager.settings import Settings
from incident_manager.store.database import Store
from incident_manager.store.repository import UnitOfWork
from recloser import CircuitBreaker
from recloser.testing import FakeClock

T = TypeVar("T")
PATIENCE = 20.0
"""Real seconds after which a test that waits for something is wrong."""


@dataclass(eq=False)
class _Parked:
    event: asyncio.Event
    deadline: float
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waiting(self) -> bool:
        return not self.event.is_set() and not self.over.is_set()


class Pauses:
    """Stands in for `notify.pacing.pause`: lanes park here until their event is set or the clock is moved on."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._parked: list[_Parked] = []
        self._changed = asyncio.Condition()

    async def __call__(self, event: asyncio.Event, seconds: float) -> None:
        parked = _Parked(event, self._clock.monotonic() + seconds)
        self._parked.append(parked)
        async with self._changed:
            self._changed.notify_all()
        ways = [asyncio.create_task(event.wait()), asyncio.create_task(parked.over.wait())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._parked.remove(parked)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def all_parked(self, lanes: int) -> None:
        """Wait until this many lanes have nothing to do but wait."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: sum(parked.waiting for parked in self._parked) >= lanes)

    def advance(self, seconds: float) -> None:
        """Move time, and end the waits that are over by then."""
        self._clock.advance(seconds)
        for parked in self._parked:
            if parked.deadline <= self._clock.monotonic() + 1e-6:
                parked.over.set()


class Bench:
    """One store, its destinations, and dispatchers on it. Time stands still until `advance`."""

    def __init__(self, folder: Path, clock: FakeClock, **settings: Any) -> None:
        self.clock = clock
        self.settings = Settings(data_dir=folder, **settings)
        self.registry = build_registry(breaker_table(self.settings.destinations, self.settings.breakers), clock)
        self.store = Store(self.settings.store_url, self.registry["database"])
        self.pauses = Pauses(clock)
        self.dispatchers: list[Dispatcher] = []

    async def __aenter__(self) -> Bench:
        await self.store.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for dispatcher in self.dispatchers:
            await dispatcher.stop(grace=0)
        self.registry["database"].reset("end of the test")
        await self.store.close()

    @property
    def dispatcher(self) -> Dispatcher:
        return self.dispatchers[0]

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)

    def breaker(self, destination: str = "ops") -> CircuitBreaker:
        return self.registry[f"notify:{destination}"]

    async def dispatch(self, destinations: dict[str, Destination] | None = None, **policy: Any) -> Dispatcher:
        """Start a dispatcher; waits have no jitter."""
        chosen = destinations or build_destinations(self.settings, self.registry, self.clock)
        values = {"backoff": Backoff(1.0, 300.0, _no_jitter), "store_backoff": Backoff(1.0, 15.0, _no_jitter), **policy}
        dispatcher = Dispatcher(
            self.store.outbox, chosen, clock=self.clock, policy=DispatchPolicy(**values), pause=self.pauses
        )
        self.dispatchers.append(dispatcher)
        await dispatcher.start()
        return dispatcher

    async def idle(self) -> None:
        """Wait until every lane of every dispatcher waits."""
        await self.pauses.all_parked(sum(len(dispatcher.lanes) for dispatcher in self.dispatchers))

    async def advance(self, seconds: float) -> None:
        """Move time, then wait until the lanes have done what is to be done."""
        self.pauses.advance(seconds)
        await self.idle()

    async def look(self) -> None:
        """Make every lane look now, and wait until they have."""
        for dispatcher in self.dispatchers:
            dispatcher.wake()
        await self.idle()

    async def enqueue(
        self,
        count: int = 1,
        destination: str = "ops",
        events: Sequence[NotificationEvent] = (NotificationEvent.TRIGGERED,),
    ) -> list[Delivery]:
        """Put notifications of `count` new incidents into the outbox, as the pipeline does, and wake the lanes."""
        incidents = [self._incident() for _ in range(count)]
        made = [
            new_delivery(incident.id, destination, event, incident.to_dict(), self.now)
            for incident in incidents
            for event in events
        ]

        async def work(unit: UnitOfWork) -> None:
            await unit.insert(*incidents)
            await unit.enqueue(made)

        await self.store.run(work)
        for dispatcher in self.dispatchers:
            dispatcher.wake()
        return made

    async def row(self, delivery: Delivery) -> Delivery:
        """A delivery as it is stored now."""
        return next(row for row in await self.rows([delivery]) if row.id == delivery.id)

    async def rows(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Deliveries as they are stored now, in order."""
        ids = {delivery.id for delivery in deliveries}
        incidents = dict.fromkeys(delivery.incident_id for delivery in deliveries)

        async def work(unit: UnitOfWork) -> list[Delivery]:
            return [row for incident in incidents for row in await unit.deliveries(incident) if row.id in ids]

        return await self.store.read(work)

    async def timeline(self, delivery: Delivery) -> Sequence[TimelineEntry]:
        """The timeline of a delivery's incident."""

        async def work(unit: UnitOfWork) -> Sequence[TimelineEntry]:
            return await unit.timeline(delivery.incident_id)

        return await self.store.read(work)

    async def settled(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Wait until none of these deliveries is pending, and return them."""

        async def done() -> list[Delivery] | None:
            rows = await self.rows(deliveries)
            return rows if all(row.status != "pending" for row in rows) else None

        return await eventually(done)

    def _incident(self) -> Incident:
        id = new_id("inc", self.now)
        return Incident(
            id=id,
            fingerprint=id,
            title="Disk full",
            description="Only 2 % left",
            severity=Severity.P1,
            severity_locked=False,
            status=Status.DETECTED,
            source="test",
            labels={"host": "db-1"},
            annotations={},
            alert_count=1,
            first_seen=self.now,
            last_seen=self.now,
            starts_at=self.now,
            created_at=self.now,
            updated_at=self.now,
            version=1,
        )


def hook(url: str, **more: Any) -> dict[str, Any]:
    """Settings of a webhook at a receiver of the test."""
    return {"type": "webhook", "url": url, "allow_private": True, **more}


async def eventually(condition: Callable[[], Awaitable[T | None]]) -> T:
    """Poll until the condition gives something; for what no event tells."""
    async with asyncio.timeout(PATIENCE):
        while (found := await condition()) is None:  # noqa: ASYNC110 - no event tells that a row was written
            await asyncio.sleep(0.01)
        return found


def _no_jitter() -> float:
    # Backoff waits half of the exponential for the lowest number and adds nothing to a Retry-After.
    return 0.0
