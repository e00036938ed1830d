"""Keeps what the circuit breakers go through, while they go through it."""

from __future__ import annotations

import asyncio
import logging
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.domain.ids import new_id
from incident_manager.history.records import LABELS, Tally, Transition
from incident_manager.moments import now_of
from incident_manager.notify.pacing import pause
from incident_manager.store.breaker_history import write_history
from incident_manager.store.database import Store
from recloser import BUCKET_BOUNDS, CallFinished, CircuitBreaker, Clock, Outcome, Registry, State, StateChanged, Stats

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Transitions that wait for the store; beyond, the oldest go first."""

BATCH = 500
"""Transitions written in one transaction."""

EVERY = 30.0
"""Seconds between two writes while nothing changes."""

SPAN = 300.0
"""Seconds that one tally covers. While the store is away the span goes on, so that memory stays the same."""

AT_ONCE = 1.0
"""Seconds between two writes at least: what changes in between is written together."""

_FAILED = (Outcome.FAILURE, Outcome.THROTTLED, Outcome.CONFIGURATION, Outcome.EXPIRED)
_OPERATOR = "operator"


@dataclass(slots=True)
class _Trouble:
    """The time since a circuit left the closed state. Seconds are monotonic."""

    began: float
    rejected_before: int
    by_operator: bool


class _Course:
    """What must be remembered of one breaker to tell how long it stayed, and how its failing calls went."""

    def __init__(self, breaker: CircuitBreaker, since: float | None = None) -> None:
        self.breaker = breaker
        self.since = since  # None: the breaker came later, and has not changed its state since
        self.trouble: _Trouble | None = None
        self.failed_durations = [0] * len(LABELS)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One breaker at one instant."""

    breaker: CircuitBreaker
    stats: Stats
    failed_durations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unwritten:
    """What the store does not have yet, or has of an earlier moment.

    Attributes:
        instance: The process.
        transitions: Those that wait, in order.
        next_number: The number of the first of them, or of the next one to come.
        tallies: The span that is not over; they replace what the store has of it.
    """

    instance: str
    transitions: Sequence[Transition]
    next_number: int
    tallies: Sequence[Tally]


class BreakerRecorder:
    """Writes each change of state, and now and then what was counted, in order and off the way of the calls.

    The store has a breaker of its own: when that opens, nothing can be written. Transitions then wait in memory, the
    newest `MOST_WAITING` of them, and are written when the store is back. Await `start` before and `stop` after use.

    Args:
        store: Where the history is kept.
        registry: The breakers. Those that come later are recorded from then on.
        clock: Time.
        every: Seconds between two writes while nothing changes, and between two tries.
        span: Seconds that one tally covers.
        at_once: Seconds between two writes at least.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        *,
        every: float = EVERY,
        span: float = SPAN,
        at_once: float = AT_ONCE,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._every = every
        self._span = span
        self._at_once = at_once
        self._instance = new_id("run", self._now())
        self._lock = threading.Lock()  # breakers may be used by any thread
        self._waiting: deque[Transition] = deque()
        self._number = 0
        self._lost = 0
        now = clock.monotonic()
        self._courses = {breaker.name: _Course(breaker, now) for breaker in registry}
        self._span_began = self._now()
        self._base: dict[str, _Reading] = {}
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._remove: tuple[Callable[[], None], ...] = ()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Record from now on."""
        loop = asyncio.get_running_loop()
        self._span_began, self._base = self._now(), self._read()

        def changed(event: StateChanged) -> None:
            self._note(event)
            loop.call_soon_threadsafe(self._news.set)

        self._remove = (
            self._registry.add_listener(changed, (StateChanged,)),
            self._registry.add_listener(self._note_call, (CallFinished,)),
        )
        self._task = asyncio.create_task(self._work(), name="history of the circuit breakers")

    async def stop(self) -> None:
        """Record no more; write what waits, if that is possible now."""
        for remove in self._remove:
            remove()
        self._stopping.set()
        self._news.set()
        if self._task is not None:
            await self._task
        try:
            await self._write()
        except StoreUnavailableError:
            logger.warning("%d changes of circuit breakers could not be written to the history", len(self._waiting))
        except Exception:  # a fault of ours must not keep the rest of the service from its orderly end
            logger.exception("the history of the circuit breakers could not be written")

    def unwritten(self) -> Unwritten:
        """What is to be added to what the store has."""
        with self._lock:
            waiting = tuple(self._waiting)
            number = waiting[0].number if waiting else self._number + 1
        return Unwritten(self._instance, waiting, number, self._tallies(self._read()))

    def _note(self, event: StateChanged) -> None:
        """Remember a change. Called by whichever thread made it; those of one breaker come in order."""
        breaker = self._registry.get(event.breaker)
        if breaker is None:  # it was taken out while it said so
            return
        now = self._clock.monotonic()
        stats = breaker.stats()
        rejected = stats.rejected
        with self._lock:
            course = self._course_of(breaker)
            since = now - stats.state_seconds[event.from_state] if course.since is None else course.since
            began = now if event.from_state is State.CLOSED else since
            stayed, course.since = now - since, now
            trouble = course.trouble or _Trouble(began, rejected, by_operator=False)
            trouble.by_operator = trouble.by_operator or event.reason == _OPERATOR
            over = event.to_state is State.CLOSED
            course.trouble = None if over else trouble
            self._number += 1
            if len(self._waiting) == MOST_WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(
                Transition(
                    instance=self._instance,
                    number=self._number,
                    breaker=event.breaker,
                    at=datetime.fromtimestamp(event.time, UTC),
                    from_state=event.from_state,
                    to_state=event.to_state,
                    reason=event.reason,
                    detail=_printable(event.detail),
                    open_for=event.open_for,
                    attempt=event.attempt,
                    stayed=stayed,
                    recovery_seconds=now - trouble.began if over else None,
                    rejected=rejected - trouble.rejected_before if over else None,
                    by_operator=trouble.by_operator,
                )
            )

    def _note_call(self, event: CallFinished) -> None:
        """Remember how long a failing call took; a breaker delivers its events one at a time."""
        if event.outcome in _FAILED and (breaker := self._registry.get(event.breaker)) is not None:
            with self._lock:
                course = self._course_of(breaker)
            course.failed_durations[bisect_left(BUCKET_BOUNDS, event.duration)] += 1

    def _course_of(self, breaker: CircuitBreaker) -> _Course:
        """What is remembered of a breaker; one that has come in the place of another begins anew."""
        course = self._courses.get(breaker.name)
        if course is None or course.breaker is not breaker:
            course = self._courses[breaker.name] = _Course(breaker)
        return course

    async def _work(self) -> None:
        while not self._stopping.is_set():
            await pause(self._news, self._every)
            self._news.clear()
            try:
                await self._write()
            except StoreUnavailableError as error:  # when its circuit closes, that is news
                logger.debug("the history of the circuit breakers is written later: %s", error)
            except Exception:  # a fault of ours must not end the history
                logger.exception("the history of the circuit breakers could not be written; trying again")
            await pause(self._stopping, self._at_once)

    async def _write(self) -> None:
        """Write all that waits, in order, with the span up to now.

        Raises:
            StoreUnavailableError: What is not written waits.
        """
        while True:
            with self._lock:
                batch = tuple(self._waiting)[:BATCH]
            readings = self._read()
            tallies = self._tallies(readings)
            await self._store.run(
                lambda unit, batch=batch, tallies=tallies: write_history(unit, self._instance, batch, tallies),  # type: ignore[misc]
                visible=False,
            )
            self._written(batch)
            ends_at = max((tally.ends_at for tally in tallies), default=self._span_began)
            if (ends_at - self._span_began).total_seconds() >= self._span:
                self._span_began, self._base = max(self._now(), ends_at), readings
            if not self._waiting:
                return

    def _written(self, batch: Sequence[Transition]) -> None:
        with self._lock:
            last = batch[-1].number if batch else 0
            while self._waiting and self._waiting[0].number <= last:  # others may have been pushed out meanwhile
                self._waiting.popleft()
            lost, self._lost = self._lost, 0
        if lost:
            logger.error("%d changes of circuit breakers are in the log only: too many waited for the database", lost)

    def _now(self) -> datetime:
        return now_of(self._clock)

    def _read(self) -> dict[str, _Reading]:
        with self._lock:
            courses = [self._course_of(breaker) for breaker in self._registry]
        return {
            course.breaker.name: _Reading(course.breaker, course.breaker.stats(), tuple(course.failed_durations))
            for course in courses
        }

    def _tallies(self, readings: dict[str, _Reading]) -> list[Tally]:
        """What was counted in the span, up to the readings."""
        return [
            _tally(self._instance, self._span_began, self._base.get(name), reading)
            for name, reading in readings.items()
        ]


def _tally(instance: str, began: datetime, before: _Reading | None, after: _Reading) -> Tally:
    """The difference of two readings. Its span is as long as the states lasted, whatever became of the wall clock.

    A breaker that was not there before, or was another one of the same name, began with nothing.
    """
    if before is None or before.breaker is not after.breaker:
        before = _Reading(after.breaker, CircuitBreaker(after.breaker.name).stats(), (0,) * len(LABELS))
    then, now = before.stats, after.stats
    seconds = {state: max(0.0, now.state_seconds[state] - then.state_seconds[state]) for state in State}
    calls = {status: count - then.calls.get(status, 0) for status, count in now.calls.items()}
    succeeded = calls[Outcome.SUCCESS] + calls[Outcome.SLOW]
    failed = sum(calls[outcome] for outcome in _FAILED)
    held_off = now.rejections.get("forced_open", 0) - then.rejections.get("forced_open", 0)
    return Tally(
        instance=instance,
        breaker=now.name,
        starts_at=began,
        ends_at=began + timedelta(seconds=sum(seconds.values())),
        succeeded=succeeded,
        failed=failed,
        other=sum(calls.values()) - succeeded - failed - calls["rejected"],
        rejected=calls["rejected"] - held_off,
        held_off=held_off,
        closed_seconds=seconds[State.CLOSED],
        open_seconds=seconds[State.OPEN],
        half_open_seconds=seconds[State.HALF_OPEN],
        durations=_histogram(then.duration_buckets, now.duration_buckets),
        failed_durations=_histogram(before.failed_durations, after.failed_durations),
    )


def _printable(text: str | None) -> str | None:
    """A text as every database takes it: what people and servers wrote may hold NUL and halves of surrogate pairs."""
    return text and "".join(character if character.isprintable() else " " for character in text)


def _histogram(before: Sequence[int], after: Sequence[int]) -> dict[str, float]:
    return {label: new - old for label, old, new in zip(LABELS, before, after, strict=True) if new > old}
