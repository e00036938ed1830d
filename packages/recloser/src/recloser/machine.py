"""The state machine of one breaker: admit, settle, tick. How its circuit changes is in `circuit.py`.

Pure: no I/O, no locks, no user code. Time is passed in as monotonic seconds, and what happened is left in `changes`
for the caller to announce after it has released its lock.

    CLOSED --a rule is broken, or throttled--> OPEN --its time is over and a call comes--> HALF_OPEN
    HALF_OPEN --enough probes succeeded--> CLOSED
    HALF_OPEN --a probe failed, or one hung for the whole half-open period--> OPEN

Each change starts a new generation. A call belongs to the generation that admitted it; when it ends in a later one
it counts in the metrics and changes nothing else.
"""

from __future__ import annotations

import math

from recloser.changes import ProbeExpired
from recloser.circuit import Circuit
from recloser.events import Control, State
from recloser.outcomes import Outcome, Verdict
from recloser.settings import Settings
from recloser.tickets import Refusal, Settled, Ticket

_OPENING_AT_ONCE = (Outcome.THROTTLED, Outcome.CONFIGURATION)
"""Outcomes that open the circuit without any rule, each with its own name as the reason."""


class Machine(Circuit):
    """What calls do to a circuit. The caller holds a lock around every method."""

    __slots__ = ("_abandoned_generation", "observed_rejections")

    def __init__(self, settings: Settings, now: float) -> None:
        super().__init__(settings, now)
        self.observed_rejections = 0
        self._abandoned_generation = -1

    @property
    def probes_in_flight(self) -> int:
        """Probes admitted and not settled."""
        return len(self._probes or ())

    # Admit

    def admit(self, now: float) -> Ticket | Refusal:
        """Let a call through, or say why not."""
        self.tick(now)
        if self.control is Control.DISABLED:
            return self._unrecorded(now)
        if self.state is State.CLOSED:
            return self._closed_ticket(now)
        refusal = self._refusal(now)
        if refusal is None:
            return self._probe(now)
        if self.control is Control.OBSERVE_ONLY:
            self.observed_rejections += 1
            self.kernel.admit()
            return Ticket(self.generation, now, shadow_of=refusal)
        if self._opening is None:  # else the caller works the open time out and asks again
            self.kernel.count_rejection(refusal.reason)
        return refusal

    def admit_in_between(self, now: float) -> Ticket | Refusal:
        """The same for a call that is made in the middle of another operation: nothing is changed, so no probe is let
        through."""
        if self.control is Control.DISABLED:
            return self._unrecorded(now)
        refusal = None
        if self.control is Control.FORCED_OPEN or self.state is not State.CLOSED:
            probing_full = self.state is State.HALF_OPEN
            until = self._half_open_until if probing_full else self.open_until
            refusal = self._refusal(now) or Refusal(
                self.state, "half_open_full" if probing_full else "open", max(0.0, until - now)
            )
        if refusal is not None and self.control is not Control.OBSERVE_ONLY:
            self.kernel.count_rejection(refusal.reason)
            return refusal
        self.kernel.admit()
        return Ticket(self.generation, now, shadow_of=refusal)

    def _refusal(self, now: float) -> Refusal | None:
        if self.control is Control.FORCED_OPEN:
            return Refusal(self.state, "forced_open", None)
        if self.state is State.OPEN and (now < self.open_until or self._unannounced is not None):
            return Refusal(self.state, "open", max(0.0, self.open_until - now))
        if self.state is State.HALF_OPEN and self.probes_in_flight >= self.settings.half_open_max_calls:
            return Refusal(self.state, "half_open_full", self._half_open_until - now)
        return None

    def retry_after(self, now: float) -> float | None:
        """Seconds until a call may be admitted: 0 when one may be now, None when only an operator can tell."""
        if self.control in (Control.OBSERVE_ONLY, Control.DISABLED):
            return 0.0
        refusal = self._refusal(now)
        return 0.0 if refusal is None else refusal.retry_after

    def _closed_ticket(self, now: float) -> Ticket:
        ticket = Ticket(self.generation, now)
        self.kernel.admit()
        if self.settings.count_in_flight_slow_calls:
            if self._running is None:
                self._running = {}
            self._running[ticket] = None
        return ticket

    def _probe(self, now: float) -> Ticket:
        if self.state is State.OPEN:
            self._half_open(now)
        ticket = Ticket(self.generation, now)
        self.kernel.admit()
        if self._probes is None:
            self._probes = set()
        self._probes.add(ticket)
        return ticket

    def _unrecorded(self, now: float) -> Ticket:
        ticket = Ticket(self.generation, now)
        ticket.settled = True
        return ticket

    # Settle

    def settle(self, ticket: Ticket, verdict: Verdict, now: float) -> Settled | None:
        """Take the outcome of a call; None when it was settled before (or has expired)."""
        if ticket.settled:
            return None
        self.tick(now)
        if ticket.settled:  # it was a probe, and the half-open period has just run out
            return None
        settled = self._finish(ticket, verdict, now)
        if verdict.outcome in (Outcome.FAILURE, *_OPENING_AT_ONCE):
            self.kernel.last_failure = verdict.failed or str(verdict.outcome)
        if settled.late:
            self._settle_late(verdict, now)
        elif self.state is State.CLOSED:
            self._settle_closed(ticket, verdict, settled, now)
        else:
            self._settle_probe(ticket, verdict, settled.outcome, now)
        return settled

    def _finish(self, ticket: Ticket, verdict: Verdict, now: float) -> Settled:
        ticket.settled = True
        if ticket.generation > self._abandoned_generation:
            self.kernel.release(ticket.hot)
        if self._running:
            self._running.pop(ticket, None)
        duration = max(0.0, now - ticket.started) if ticket.latency is None else ticket.latency
        outcome = verdict.outcome
        if outcome is Outcome.SUCCESS and duration >= self.kernel.slow_after:
            outcome = Outcome.SLOW
        self.kernel.count(outcome, duration)
        return Settled(outcome, duration, ticket.shadow_of is not None or ticket.generation != self.generation)

    def _settle_late(self, verdict: Verdict, now: float) -> None:
        # What the server says of its own future holds whichever generation asked: it may lengthen an open period.
        wait = self._wait(verdict)
        if verdict.outcome in _OPENING_AT_ONCE and wait is not None and self.state is State.OPEN:
            self._throttled_until = max(self._throttled_until, now + wait)
            self.kernel.open_until = max(self.open_until, self._throttled_until)

    def _settle_closed(self, ticket: Ticket, verdict: Verdict, settled: Settled, now: float) -> None:
        outcome = settled.outcome
        if outcome in (Outcome.IGNORED, Outcome.RELEASED):
            return
        if outcome in _OPENING_AT_ONCE:
            self._open_at_once(verdict, now)
            return
        failure = outcome is Outcome.FAILURE
        if ticket.slow_token is not None:
            rule = self.kernel.settle_running_slow(ticket.slow_token, failure, now)
        else:
            rule = self.kernel.record(failure, settled.duration >= self.kernel.slow_after, now)
        self._trip(rule, outcome, now)

    def _settle_probe(self, ticket: Ticket, verdict: Verdict, outcome: Outcome, now: float) -> None:
        if self._probes:
            self._probes.discard(ticket)
        if outcome in (Outcome.IGNORED, Outcome.RELEASED) or not verdict.conclusive:
            return
        if outcome in _OPENING_AT_ONCE:
            self._open_at_once(verdict, now)
        elif outcome is Outcome.FAILURE:
            self._open(now, "probe_failed", self.last_failure, outcome)
        elif outcome is Outcome.SLOW and self.settings.slow_call_rate_threshold is not None:
            self._open(now, "probe_failed", "the probe was slow", outcome)
        else:
            self.successes += 1
            if self.successes >= self.settings.success_threshold:
                self._close(now, "probes_succeeded", None)

    def _wait(self, verdict: Verdict) -> float | None:
        if verdict.retry_after is None:
            return None
        # What a dependency asks for is bounded; what the classifier says of our own configuration is our own wish.
        bound = self.settings.max_retry_after if verdict.outcome is Outcome.THROTTLED else math.inf
        return min(max(verdict.retry_after, 0.0), bound)

    # Tick

    def tick(self, now: float) -> None:
        """Do what time alone does. Cheap when there is nothing to do."""
        if self.state is State.HALF_OPEN and now >= self._half_open_until:
            self._half_open_ran_out(self._half_open_until)
        elif self._running:
            self._count_running_slow(now)

    def _half_open_ran_out(self, at: float) -> None:
        # A probe that ran for the whole period hangs: that is a failure. Without one, the period ended for want of
        # traffic; the circuit is open again but may be probed at once, and keeps the successes it has seen.
        probes, self._probes = self._probes or (), None
        hung = any(ticket.started <= self.changed_at for ticket in probes)
        for ticket in probes:
            ticket.settled = True
            self.kernel.release(False)
            self.kernel.count(Outcome.EXPIRED, 0.0)
            self.changes += (ProbeExpired(at - ticket.started),)
        if hung:
            self._open(at, "half_open_timeout", "a probe did not end in time", None)
        else:
            self.kernel.open_until = at
            self._change(State.OPEN, at, "half_open_inconclusive", open_for=0.0)

    def _count_running_slow(self, now: float) -> None:
        rule = None
        self.kernel.advance(now)
        while self._running:
            ticket = next(iter(self._running))  # the oldest
            if ticket.latency is None and now - ticket.started < self.kernel.slow_after:
                break
            del self._running[ticket]
            if ticket.latency is not None:
                continue  # a stream whose first item has come: it runs on, and its duration is known
            ticket.slow_token = self.kernel.record_running_slow(now)
            rule = self.kernel.broken_rule()
        self._trip(rule, Outcome.SLOW, now)

    # Trip

    def trip(self, generation: int, rule: str, now: float) -> None:
        """A success on the hot path has filled the window of `generation` up to a broken rule."""
        if generation == self.generation:
            self._trip(rule, Outcome.SUCCESS, now)

    def _trip(self, rule: str | None, outcome: Outcome, now: float) -> None:
        if rule is not None and self.control is not Control.FORCED_CLOSED:
            self._open(now, rule, self.last_failure if outcome is Outcome.FAILURE else None, outcome)

    def _open_at_once(self, verdict: Verdict, now: float) -> None:
        if self.control is not Control.FORCED_CLOSED:
            self._open(now, str(verdict.outcome), verdict.failed, verdict.outcome, self._wait(verdict))

    # Settings, restore, fork

    def is_evictable(self, now: float) -> bool:
        """Whether forgetting this machine admits no call that it would reject, and orphans none."""
        return self.state is State.CLOSED and self.control is Control.AUTOMATIC and not self.kernel.in_flight

    def is_retirable(self, now: float) -> bool:
        """Whether it may be forgotten when nobody has used it for long: it rejects nothing, and orphans no call."""
        return self.control is Control.AUTOMATIC and not self.kernel.in_flight and self.retry_after(now) == 0.0

    def is_idle(self, now: float) -> bool:
        """Whether forgetting it loses nothing at all: it is evictable and remembers no failure."""
        remembers = self.kernel.consecutive_failures or self.kernel.failure_rate(now)
        return self.is_evictable(now) and not remembers

    def reconfigure(self, settings: Settings, now: float) -> None:
        """Take new settings; the state, its deadline and the window stay."""
        self.tick(now)
        self.kernel.reconfigure(self.settings, settings, now)
        self.settings = settings
        if not settings.count_in_flight_slow_calls:
            self._running = None
        self._choose_path()

    def restore(
        self,
        state: State,
        control: Control,
        control_reason: str | None,
        attempt: int,
        remaining: float,
        last_failure: str | None,
        now: float,
    ) -> None:
        """Take over an exported state. `remaining` is the open time left, in seconds."""
        self.kernel.last_failure = last_failure
        self.control = control
        self.control_reason = control_reason
        self.attempt = attempt
        self._choose_path()
        if state is not State.CLOSED:
            # A half-open period belonged to probes of another life: open, to be probed when the time has come.
            self.kernel.open_until = now + remaining
            self._change(State.OPEN, now, "restored", open_for=remaining if math.isfinite(remaining) else None)

    def after_fork(self, now: float) -> None:
        """In a forked child: the calls that were in flight belong to the parent."""
        self._announce()
        self.changes = ()
        self._abandoned_generation = self.generation
        self.kernel.forget_calls()
        if self.state is State.HALF_OPEN:
            self.kernel.open_until = now
            self._change(State.OPEN, now, "half_open_inconclusive", open_for=0.0)
        else:
            self._new_generation()
            self._choose_path()
