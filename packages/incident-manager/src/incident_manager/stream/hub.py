"""Where followers meet what happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from incident_manager.domain.errors import StoreUnavailableError, TooManyStreamsError
from incident_manager.store.changes import Change, changes_after, latest_change
from incident_manager.store.database import Store
from incident_manager.stream.sequencer import PATIENCE, Sequencer
from incident_manager.stream.subscription import CircuitChanged, Interest, Joined, Subscription
from recloser import Clock, ControlChanged, Registry, StateChanged

logger = logging.getLogger(__name__)

POLL = 1.0
"""Seconds between two looks at the history, which other processes write too."""

_PAGE = 500


class StreamHub:
    """Tells every follower of the changes of incidents, whichever process made them, and of this process's circuits.

    Await `start` before and `stop` after use, in one event loop. Nothing is asked of the database while nobody follows.

    Args:
        store: The history.
        registry: The circuit breakers.
        clock: Time.
        max_clients: Followers at once.
        poll: Seconds between two looks at the history.
    """

    def __init__(self, store: Store, registry: Registry, clock: Clock, *, max_clients: int, poll: float = POLL) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._max_clients = max_clients
        self._poll = poll
        self._clients: set[Subscription] = set()
        self._sequencer: Sequencer | None = None
        self._wanted = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop_listening: Callable[[], None] | None = None

    @property
    def clients(self) -> int:
        """How many follow now."""
        return len(self._clients)

    async def start(self) -> None:
        """Begin to listen to the circuits and, when somebody follows, to look at the history."""
        self._loop = asyncio.get_running_loop()
        self._stop_listening = self._registry.add_listener(self._circuit_changed, (StateChanged, ControlChanged))
        self._task = asyncio.create_task(self._work(), name="stream of changes")

    def end(self) -> None:
        """Cut every follower off at once, and take no more."""
        self._max_clients = 0
        for client in list(self._clients):
            client.end()

    async def stop(self) -> None:
        """End, and listen no more."""
        self.end()
        if self._stop_listening is not None:
            self._stop_listening()
        self._loop = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    @contextmanager
    def subscribe(self, interest: Interest) -> Iterator[Subscription]:
        """Follow for the length of a block. The first `Joined` says where the follower has come in.

        Raises:
            TooManyStreamsError: As many follow as may.
        """
        if len(self._clients) >= self._max_clients:
            raise TooManyStreamsError(self._max_clients)
        client = Subscription(interest)
        if self._sequencer is not None:
            client.offer(Joined(self._sequencer.last))
        self._clients.add(client)
        self._wanted.set()
        try:
            yield client
        finally:
            self._clients.discard(client)
            if not self._clients:  # whoever comes next begins at the end of the history, not where this one left
                self._wanted.clear()
                self._sequencer = None

    async def between(self, after: int, upto: int) -> AsyncIterator[Change]:
        """Give the changes numbered above `after`, up to `upto`.

        Raises:
            StoreUnavailableError: The history cannot be read now.
        """
        while after < upto:
            start = after
            reading = await self._store.read(lambda unit, start=start: changes_after(unit, start, _PAGE))  # type: ignore[misc]
            for change in reading.changes:
                if change.sequence > upto:
                    return
                yield change
            if not reading.changes:
                return
            after = reading.latest

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._step()
            except StoreUnavailableError:
                logger.debug("the history cannot be read now; followers are told later")
            except Exception:
                logger.exception("the history could not be read; followers are told later")
            await asyncio.sleep(self._poll)

    async def _step(self) -> None:
        """Look at the history once, and pass on what is new."""
        if self._sequencer is None:
            await self._begin()
        sequencer = self._sequencer
        while sequencer is not None:
            last = sequencer.last
            reading = await self._store.read(lambda unit, last=last: changes_after(unit, last, _PAGE))  # type: ignore[misc]
            if sequencer is not self._sequencer:  # everybody has left meanwhile
                return
            changes = sequencer.take(reading, self._clock.monotonic())
            for change in changes:
                for client in list(self._clients):
                    client.offer(change)
            if len(changes) < _PAGE:
                return

    async def _begin(self) -> None:
        """Find the end of the history, once nothing can appear before it any more."""
        first = reading = await self._store.read(latest_change)
        since = self._clock.monotonic()
        while reading.oldest_running < first.next_transaction and self._clock.monotonic() - since < PATIENCE:
            await asyncio.sleep(self._poll / 10)
            reading = await self._store.read(latest_change)
        if not self._clients:
            return
        self._sequencer = Sequencer(first.latest)
        for client in list(self._clients):
            client.offer(Joined(first.latest))

    def _circuit_changed(self, event: Any) -> None:
        """Called in whichever thread changed the circuit."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        data = {"name": event.breaker, "state": None, "control": None, "reason": event.reason}
        if isinstance(event, StateChanged):
            data |= {"from_state": str(event.from_state), "state": str(event.to_state), "detail": event.detail}
        else:
            data |= {"from_control": str(event.from_control), "control": str(event.to_control)}
        loop.call_soon_threadsafe(self._tell, CircuitChanged(data))

    def _tell(self, item: CircuitChanged) -> None:
        for client in list(self._clients):
            client.offer(item)
