"""Delivers what waits in the outbox: one lane per destination, so that a dead one delays nobody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.notify.lane import Lane
from incident_manager.notify.notifier import Notifier
from incident_manager.notify.outbox import Outbox
from incident_manager.notify.pacing import DispatchPolicy, Pause, pause
from incident_manager.store.leases import new_worker
from recloser import BreakerReset, CircuitBreaker, Clock, ControlChanged, Event, StateChanged

logger = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds for the sends under way when a lane ends."""


@dataclass(frozen=True)
class Destination:
    """One destination, ready to be sent to.

    Args:
        notifier: How to send.
        breaker: What guards it.
        interval: Least seconds between two sends.
        pages: Whether a notification there wakes somebody.
    """

    notifier: Notifier
    breaker: CircuitBreaker
    interval: float = 0.0
    pages: bool = False


class Dispatcher:
    """Runs the lanes. Use `start` and `stop`, from one event loop.

    Args:
        outbox: Where deliveries wait.
        destinations: By name. The dispatcher owns the notifiers and closes them.
        clock: Time.
        policy: How deliveries are tried.
        pause: How lanes wait.
    """

    def __init__(
        self,
        outbox: Outbox,
        destinations: Mapping[str, Destination],
        *,
        clock: Clock,
        policy: DispatchPolicy | None = None,
        pause: Pause = pause,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._policy = policy or DispatchPolicy()
        self._pause = pause
        self._destinations = dict(destinations)
        self._lanes = {name: self._lane(name, destination) for name, destination in self._destinations.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe: dict[str, Callable[[], None]] = {}
        self._stopping = False

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """The lanes, by destination."""
        return self._lanes

    @property
    def ready(self) -> bool:
        """Whether every lane runs and reaches the store."""
        return not self.problems() and not self._stopping and len(self._tasks) == len(self._lanes)

    def problems(self) -> dict[str, str]:
        """What keeps lanes from working, by destination. A breaker that is open is no such problem."""
        found = {name: lane.problem for name, lane in self._lanes.items() if lane.problem is not None}
        ended = {name: "the lane has ended" for name, task in self._tasks.items() if task.done()}
        return {**found, **ended}

    async def start(self) -> None:
        """Start the lanes. What an earlier process left is delivered too."""
        for name in self._destinations:
            self._run(name)
        await self._warn_of_orphans()

    async def put(self, name: str, destination: Destination) -> None:
        """Deliver to a new destination, or to one in another way, from now on."""
        await self.remove(name)
        self._destinations[name] = destination
        self._lanes[name] = self._lane(name, destination)
        self._run(name)

    async def remove(self, name: str, grace: float = GRACE) -> None:
        """Deliver to a destination no longer; what waits for it stays in the outbox. One that is not there is fine.

        Args:
            name: The destination.
            grace: Seconds for the send under way.
        """
        lane, task = self._lanes.get(name), self._tasks.get(name)
        if lane is None:
            return
        self._unsubscribe.pop(name, _nothing)()
        lane.stop()
        try:
            if task is not None:
                await asyncio.wait([task], timeout=grace)
        finally:
            await self._end(name)

    def wake(self) -> None:
        """Look now: deliveries were enqueued. To be called in the dispatcher's event loop."""
        for lane in self._lanes.values():
            lane.wake()

    async def stop(self, grace: float = GRACE) -> None:
        """Finish sends under way, give back what was claimed, and close the notifiers.

        Args:
            grace: Seconds for the sends under way. One that takes longer is cut off and made again, with the same id,
                by whoever claims it next.
        """
        self._stopping = True
        for unsubscribe in self._unsubscribe.values():
            unsubscribe()
        self._unsubscribe.clear()
        for lane in self._lanes.values():
            lane.stop()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=grace)
        finally:
            for name in list(self._lanes):
                await self._end(name)

    def _lane(self, name: str, destination: Destination) -> Lane:
        return Lane(
            name,
            destination.notifier,
            destination.breaker,
            self._outbox,
            worker=new_worker(name),
            clock=self._clock,
            policy=self._policy,
            interval=destination.interval,
            pages=destination.pages,
            pause=self._pause,
        )

    def _run(self, name: str) -> None:
        loop, lane = asyncio.get_running_loop(), self._lanes[name]

        def woken(_: Event) -> None:
            loop.call_soon_threadsafe(lane.wake)

        kinds = (StateChanged, ControlChanged, BreakerReset)
        self._unsubscribe[name] = self._destinations[name].breaker.add_listener(woken, kinds)
        self._tasks[name] = asyncio.create_task(lane.run(), name=f"deliver to {name}")

    async def _end(self, name: str) -> None:
        lane, destination = self._lanes.pop(name), self._destinations.pop(name)
        if (task := self._tasks.pop(name, None)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        try:
            await self._outbox.release(lane.worker)
        except StoreUnavailableError as exc:
            logger.warning("claims of %s could not be given back and will expire: %s", name, exc)
        await destination.notifier.close()

    async def _warn_of_orphans(self) -> None:
        try:
            waiting = await self._outbox.waiting()
        except StoreUnavailableError as exc:
            logger.warning("the outbox could not be looked at: %s", exc)
            return
        for name, count in waiting.items():
            if count and name not in self._lanes:
                logger.warning("%d deliveries wait for %r, which the settings no longer have", count, name)


def _nothing() -> None:
    """Of a lane that was never started."""
