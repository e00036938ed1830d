"""What a breaker tells its listeners, and how the telling is done."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from recloser.outcomes import Outcome

logger = logging.getLogger("recloser")


class State(StrEnum):
    """The three states of a circuit."""

    __hash__ = str.__hash__  # Enum's own runs Python code and differs from that of the equal text

    CLOSED = "closed"
    """Calls go through."""
    OPEN = "open"
    """Calls are rejected."""
    HALF_OPEN = "half_open"
    """A few probes go through, to see whether the dependency is back."""


class Control(StrEnum):
    """Who decides. Only an operator changes it; nothing drifts back by itself."""

    AUTOMATIC = "automatic"
    """The breaker decides."""
    FORCED_OPEN = "forced_open"
    """Every call is rejected."""
    FORCED_CLOSED = "forced_closed"
    """Every call goes through and is recorded; nothing opens the circuit."""
    DISABLED = "disabled"
    """Every call goes through and nothing is recorded."""
    OBSERVE_ONLY = "observe_only"
    """Shadow mode: the breaker decides and records, and rejects nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events.

    Attributes:
        breaker: Name of the breaker.
        time: Unix time in seconds, from the breaker's clock.
    """

    breaker: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged(Event):
    """The circuit moved from one state to another.

    Attributes:
        reason: `consecutive_failures`, `failure_rate`, `slow_call_rate`, `throttled`, `configuration`, `open_elapsed`,
            `probe_failed`, `probes_succeeded`, `half_open_timeout`, `half_open_inconclusive`, `operator` or `restored`.
        detail: The operator's words, or the failure that opened the circuit.
        open_for: When it opened: seconds until the first probe; None when only an operator ends it.
        attempt: Openings since the circuit was last closed.
    """

    from_state: State
    to_state: State
    reason: str
    detail: str | None = None
    open_for: float | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChanged(Event):
    """An operator took or gave back control.

    Attributes:
        reason: The operator's words.
    """

    from_control: Control
    to_control: Control
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerReset(Event):
    """An operator reset the breaker: automatic, closed, with an empty window.

    Attributes:
        reason: The operator's words.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRejected(Event):
    """A call was rejected (or, with `observed`, would have been).

    Attributes:
        reason: `open`, `half_open_full` or `forced_open`.
        retry_after: Seconds until a call may be admitted again, or None.
        observed: True in shadow mode: the call went through.
    """

    reason: str
    retry_after: float | None
    observed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished(Event):
    """An admitted call ended.

    Attributes:
        outcome: How.
        duration: Seconds; to the first item for a generator.
        late: True when the state had changed since the call was admitted, so that it counted in metrics only.
    """

    outcome: Outcome
    duration: float
    late: bool


Listener: TypeAlias = Callable[[Any], Awaitable[None] | None]
"""A function or coroutine function of one event."""


class _Subscription:
    """One listener: which events it wants and, if it is async, the loop and order it is run in."""

    def __init__(self, listener: Listener, kinds: tuple[type[Event], ...]) -> None:
        self.listener = listener
        self.kinds = kinds
        self._loop = _running_loop()
        self._backlog: deque[Awaitable[None]] = deque()
        self._task: asyncio.Task[None] | None = None

    def deliver(self, event: Event) -> None:
        pending = self.listener(event)
        if inspect.isawaitable(pending):
            self._schedule(pending)

    def _schedule(self, pending: Awaitable[None]) -> None:
        loop = self._loop if self._loop is not None and not self._loop.is_closed() else _running_loop()
        if loop is None:
            asyncio.run(self._run_one(pending))
            return
        self._backlog.append(pending)
        loop.call_soon_threadsafe(self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run_backlog())

    async def _run_backlog(self) -> None:
        while self._backlog:
            await self._run_one(self._backlog.popleft())

    async def _run_one(self, pending: Awaitable[None]) -> None:
        try:
            await pending
        except Exception:  # a listener's error is the listener's own
            logger.exception("a listener failed: %r", self.listener)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class EventQueue:
    """Delivers events to listeners: outside any lock of the breaker, in order, each once.

    Events are appended while the breaker's lock is held and delivered after it is released, by whichever thread
    comes first; a thread that finds another one delivering leaves its events to that one.
    """

    __slots__ = ("_delivering", "_pending", "_subscriptions", "wants_calls", "wants_rejections")

    def __init__(self) -> None:
        self._pending: deque[Event] = deque()
        self._subscriptions: tuple[_Subscription, ...] = ()
        self._delivering = threading.Lock()
        self.wants_calls = False
        self.wants_rejections = False

    def subscribe(self, listener: Listener, kinds: tuple[type[Event], ...]) -> Callable[[], None]:
        """Add a listener; the returned function removes it."""
        if not callable(listener):
            raise TypeError(f"listener={listener!r}: must be a function or coroutine function of one event")
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, Event)):
                raise TypeError(f"kinds has {kind!r}: must be event classes, such as StateChanged")
        subscription = _Subscription(listener, kinds)
        self._set((*self._subscriptions, subscription))

        def unsubscribe() -> None:
            self._set(tuple(item for item in self._subscriptions if item is not subscription))

        return unsubscribe

    def _set(self, subscriptions: tuple[_Subscription, ...]) -> None:
        self._subscriptions = subscriptions
        kinds = [kind for item in subscriptions for kind in item.kinds]
        self.wants_calls = any(issubclass(CallFinished, kind) for kind in kinds)
        self.wants_rejections = any(issubclass(CallRejected, kind) for kind in kinds)

    def append(self, event: Event) -> None:
        """Queue an event; nothing is kept when nobody listens."""
        if self._subscriptions:
            self._pending.append(event)

    def deliver(self) -> None:
        """Deliver what is queued. Called without any lock held; may be called again from a listener."""
        delivering = self._delivering  # a listener may fork: the child then has another one
        while self._pending and delivering.acquire(blocking=False):
            try:
                while self._pending:
                    self._deliver_one(self._pending.popleft())
            finally:
                delivering.release()

    def _deliver_one(self, event: Event) -> None:
        for subscription in self._subscriptions:
            if not isinstance(event, subscription.kinds):
                continue
            try:
                subscription.deliver(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:
                logger.exception("a listener failed: %r", subscription.listener)

    def after_fork(self) -> None:
        """In a forked child: whoever was delivering is gone, and the parent delivers what is queued."""
        self._delivering = threading.Lock()
        self._pending.clear()
