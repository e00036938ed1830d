"""The lock around a machine: decisions are taken under it, user code and listeners run outside it.

Three things run at any time, in the middle of a locked section too and in the same thread: finalisers, signal handlers,
and a `Clock` of somebody's own. They may use the breaker: the lock knows its owner, and who finds it his own does not
work on the half-changed machine. He defers what he has to say to the moment when the section is left, reads things as
they stand, and is admitted only where that changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from recloser import forks
from recloser.changes import Change, ControlChange, ProbeExpired, ResetDone
from recloser.clock import Clock
from recloser.errors import CircuitOpenError
from recloser.events import (
    BreakerReset,
    CallFinished,
    CallRejected,
    ControlChanged,
    Event,
    EventQueue,
    Listener,
    StateChanged,
)
from recloser.machine import Machine
from recloser.outcomes import RELEASED, SUCCESS, Outcome, Verdict
from recloser.recovery import Opening, open_duration
from recloser.settings import Settings
from recloser.tickets import Refusal, Settled, Ticket

logger = logging.getLogger("recloser")

NO_LISTENERS = EventQueue()
"""The queue of every breaker that nobody listens to: it keeps nothing."""

T = TypeVar("T")


class Controller:
    """One breaker's machine, made safe for threads, tasks, the garbage collector and fork."""

    __slots__ = ("__weakref__", "_machine", "clock", "events", "kernel", "lock", "name", "now")

    def __init__(self, name: str, settings: Settings, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.now = clock.monotonic
        self.events = NO_LISTENERS
        self.lock = forks.OwnedLock()
        self._machine = Machine(settings, self.now())
        self.kernel = self._machine.kernel
        forks.register(self, forks.BREAKER)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._machine.settings

    # The hot path: no ticket is written for a call that is admitted while closed and succeeds in time.

    def leave(self, generation: int, started: float) -> None:
        """A call on the hot path returned."""
        kernel = self.kernel
        rule = None
        if self.lock.is_owned():
            self._defer_settling(Ticket(generation, started, hot=True), SUCCESS)
            return
        with self.lock:
            now = self.now()
            duration = now - started
            hot = generation == kernel.hot_generation and duration < kernel.slow_after
            if hot:
                rule = kernel.succeed(duration, now)
        if not hot:
            self.settle(Ticket(generation, started, hot=True), SUCCESS)
        elif rule is not None:
            self.tripped(generation, rule, now)
        elif kernel.has_deferred:
            self._catch_up()

    def tripped(self, generation: int, rule: str, now: float) -> None:
        """A call of `generation` that succeeded at `now` has filled the window up to a broken rule."""
        self.operate(lambda machine, _now: machine.trip(generation, rule, now))

    # Every other call

    def admit(self) -> Ticket:
        """Admit a call.

        Raises:
            CircuitOpenError: It was refused.
        """
        if self.lock.is_owned():
            return self._answer(self._machine.admit_in_between(self.now()), self._machine.last_failure)
        machine = self._machine
        if self.kernel.refusing is not None:
            self._refuse()
        while True:
            with self.lock:
                if self.kernel.has_deferred:
                    self._do_deferred()
                decision = machine.admit(self.now())
                admitted = isinstance(decision, Ticket)
                opening = self._collect()
                if self.events.wants_rejections and (opening is None or admitted):
                    self._note_rejection(decision)
                generation, last_failure = machine.generation, machine.last_failure
            self._announce(generation, opening)
            if opening is None or admitted:
                return self._answer(decision, last_failure)
            # Refused while a new open period had only its base time: ask again now that the real one is known.

    def _answer(self, decision: Ticket | Refusal, last_failure: str | None) -> Ticket:
        if isinstance(decision, Ticket):
            return decision
        raise CircuitOpenError(self.name, str(decision.state), decision.retry_after, last_failure, decision.reason)

    def _refuse(self) -> None:
        # What machine.admit would come to, as long as the kernel may say so by itself. The compiled one does it in C.
        kernel = self.kernel
        with self.lock:
            reason, left = kernel.refusing, kernel.open_until - self.now()
            if reason is None or left <= 0 or kernel.has_deferred:
                return
            kernel.count_rejection(reason)
            last_failure = kernel.last_failure
        if kernel.has_deferred:
            self._catch_up()
        raise CircuitOpenError(self.name, "open", None if reason == "forced_open" else left, last_failure, reason)

    def settle(self, ticket: Ticket, verdict: Verdict) -> bool:
        """Settle a call; False when it was settled before."""
        if self.lock.is_owned():
            return self._defer_settling(ticket, verdict)
        with self.lock:
            if self.kernel.has_deferred:
                self._do_deferred()
            settled = self._settle(ticket, verdict)
            opening = self._collect()
            generation = self._machine.generation
        self._announce(generation, opening)
        return settled is not None

    def abandon(self, ticket: Ticket, verdict: Verdict = RELEASED) -> None:
        """Settle a call that nobody will settle any more. For finalisers: it never waits for the lock.

        Whoever holds the lock now settles it on leaving. No listener runs here: this thread may be inside the section
        of another breaker. The next operation delivers the events.
        """
        self._defer_settling(ticket, verdict)
        if not self.lock.is_owned() and self.lock.acquire(blocking=False):
            try:
                self._do_deferred()
            finally:
                self.lock.release()

    def subscribe(self, listener: Listener, kinds: tuple[type[Event], ...]) -> Callable[[], None]:
        """Add a listener; the returned function removes it."""
        fresh = EventQueue()
        with self.lock:
            if self.events is NO_LISTENERS:
                self.events = fresh
        unsubscribe = self.events.subscribe(listener, kinds)
        self._watch_calls()

        def remove() -> None:
            unsubscribe()
            self._watch_calls()

        return remove

    def _watch_calls(self) -> None:
        # Unlike `operate` it does nothing that is due: a listener that is added before the next use is told of that.
        events = self.events

        def watch(controller: Controller) -> None:
            controller._machine.observe(events.wants_calls, events.wants_rejections)

        if self.lock.is_owned():
            self.kernel.defer(watch)
            return
        with self.lock:
            watch(self)
        if self.kernel.has_deferred:
            self._catch_up()

    # Operating and reading

    def operate(self, action: Callable[[Machine, float], None]) -> None:
        """Run `action(machine, now)` under the lock, then announce what it changed."""
        if self.lock.is_owned():
            self.kernel.defer(lambda controller: action(controller._machine, controller.now()))
        else:
            self._run(action)

    def read(self, question: Callable[[Machine, float], T]) -> T:
        """The answer to `question(machine, now)`, after all that time alone does has been done."""
        if self.lock.is_owned():
            return question(self._machine, self.now())
        return self._run(question)

    def look(self, question: Callable[[Machine, float], T]) -> T:
        """Answer `question(machine, now)` as things stand.

        Unlike `read` it changes nothing, so that no listener and no strategy runs: the caller may hold a lock.
        """
        with self.lock:
            return question(self._machine, self.now())

    def _run(self, action: Callable[[Machine, float], T]) -> T:
        machine = self._machine
        while True:
            with self.lock:
                if self.kernel.has_deferred:
                    self._do_deferred()
                now = self.now()
                machine.tick(now)
                due = self._collect()
                generation = machine.generation
                if due is None:
                    result = action(machine, now)
                    opening = self._collect()
                    generation = machine.generation
                    break
            # Time alone has opened the circuit: what the action reads must have the real open time.
            self._resolve(generation, due)
        self._announce(generation, opening)
        return result

    def after_fork(self) -> None:
        """In a forked child: calls in flight and events in delivery belong to the parent."""
        self.kernel.take_deferred()
        self.events.after_fork()
        self._machine.after_fork(self.now())
        self._collect()

    def _settle(self, ticket: Ticket, verdict: Verdict) -> Settled | None:
        settled = self._machine.settle(ticket, verdict, self.now())
        if settled is not None and self.events.wants_calls:
            self.events.append(
                CallFinished(
                    breaker=self.name,
                    time=self.clock.time(),
                    outcome=settled.outcome,
                    duration=settled.duration,
                    late=settled.late,
                )
            )
        return settled

    # What is deferred must not hold the controller, which holds it: it is given one.

    def _defer_settling(self, ticket: Ticket, verdict: Verdict) -> bool:
        if ticket.settled:
            return False
        self.kernel.defer(lambda controller: controller._settle(ticket, verdict))
        return True

    def _do_deferred(self) -> None:
        for action in self.kernel.take_deferred():
            action(self)

    def _catch_up(self) -> None:
        # While another thread holds the lock, or this one further up, that is left to them: they look when they leave.
        while self.kernel.has_deferred and not self.lock.is_owned() and self.lock.acquire(blocking=False):
            try:
                self._do_deferred()
                opening = self._collect()
                generation = self._machine.generation
            finally:
                self.lock.release()
            self._tell(generation, opening)

    def _note_rejection(self, decision: Ticket | Refusal) -> None:
        refusal = decision.shadow_of if isinstance(decision, Ticket) else decision
        if refusal is not None:
            self.events.append(
                CallRejected(
                    breaker=self.name,
                    time=self.clock.time(),
                    reason=refusal.reason,
                    retry_after=refusal.retry_after,
                    observed=isinstance(decision, Ticket),
                )
            )

    def _collect(self) -> Opening | None:
        machine = self._machine
        if machine.changes:
            time = self.clock.time()
            for change in machine.take_changes():
                self.events.append(_as_event(self.name, time, change))
        return machine.take_opening()

    def _announce(self, generation: int, opening: Opening | None) -> None:
        self._tell(generation, opening)
        if self.kernel.has_deferred:
            self._catch_up()

    def _tell(self, generation: int, opening: Opening | None) -> None:
        if opening is not None:
            self._resolve(generation, opening)
        self.events.deliver()

    def _resolve(self, generation: int, opening: Opening) -> None:
        settings = self.settings
        seconds = settings.open_for
        try:
            seconds = open_duration(settings.recovery, settings.open_for, opening)
        except Exception:  # the strategy is user code; the base time is always a safe answer
            logger.exception("recovery of %r failed; it stays open for its base time", self.name)
        finally:
            with self.lock:
                self._machine.resolve_opening(generation, seconds)
                self._collect()


def _as_event(name: str, time: float, change: Change | ControlChange | ProbeExpired | ResetDone) -> Event:
    if isinstance(change, Change):
        return StateChanged(breaker=name, time=time, **change._asdict())
    if isinstance(change, ControlChange):
        return ControlChanged(breaker=name, time=time, **change._asdict())
    if isinstance(change, ProbeExpired):
        return CallFinished(breaker=name, time=time, outcome=Outcome.EXPIRED, duration=change.duration, late=False)
    return BreakerReset(breaker=name, time=time, reason=change.reason)
