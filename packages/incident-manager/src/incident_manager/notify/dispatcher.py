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
        self._destinations = dict(destinations)
        self._lanes = {
            name: Lane(
                name,
                destination.notifier,
                destination.breaker,
                outbox,
                worker=new_worker(name),
                clock=clock,
                policy=policy or DispatchPolicy(),
                interval=destination.interval,
                pages=destination.pages,
                pause=pause,
            )
            for name, destination in self._destinations.items()
        }
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe: list[Callable[[], None]] = []
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
        loop = asyncio.get_running_loop()
        for name, destination in self._destinations.items():
            lane = self._lanes[name]

            def woken(_: Event, lane: Lane = lane) -> None:
                loop.call_soon_threadsafe(lane.wake)

            kinds = (StateChanged, ControlChanged, BreakerReset)
            self._unsubscribe.append(destination.breaker.add_listener(woken, kinds))
            self._tasks[name] = asyncio.create_task(lane.run(), name=f"deliver to {name}")
        await self._warn_of_orphans()

    def wake(self) -> None:
        """Look now: deliveries were enqueued. To be called in the dispatcher's event loop."""
        for lane in self._lanes.values():
            lane.wake()

    async def stop(self, grace: float = 10.0) -> None:
        """Finish sends under way, give back what was claimed, and close the notifiers.

        Args:
            grace: Seconds for the sends under way. One that takes longer is cut off and made again, with the same id,
                by whoever claims it next.
        """
        self._stopping = True
        for remove in self._unsubscribe:
            remove()
        self._unsubscribe.clear()
        for lane in self._lanes.values():
            lane.stop()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=grace)
        finally:
            await self._end_lanes()

    async def _end_lanes(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        for name, lane in self._lanes.items():
            try:
                await self._outbox.release(lane.worker)
            except StoreUnavailableError as exc:
                logger.warning("claims of %s could not be given back and will expire: %s", name, exc)
        for destination in self._destinations.values():
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
