"""The circuit itself: which state it is in and who decides that, how it changes, and what an operator does to it.

Pure, as the machine above it: time is passed in as monotonic seconds, and what happened is left in `changes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from recloser.changes import NO_PAST, Change, ControlChange, Past, ProbeExpired, ResetDone
from recloser.events import Control, State
from recloser.kernel import Kernel
from recloser.outcomes import Outcome
from recloser.recovery import Opening
from recloser.settings import Settings
from recloser.tickets import Ticket

_NOTHING, _REJECTIONS, _CALLS = range(3)
"""What listeners want to see each of; who sees calls keeps rejections off the short way too."""

_STANDING_REFUSALS = {Control.AUTOMATIC: "open", Control.FORCED_OPEN: "forced_open"}
"""Why an open circuit rejects every call until its time is over, by who decides."""


class Circuit:
    """State, control and generation of one breaker. The caller holds a lock around every method."""

    # Breakers come by the hundred thousand: what only some of them ever need is made when they do.
    __slots__ = (
        "_half_open_until",
        "_opening",
        "_probes",
        "_running",
        "_throttled_until",
        "_unannounced",
        "attempt",
        "changed_at",
        "changes",
        "control",
        "control_reason",
        "generation",
        "kernel",
        "observed",
        "past",
        "settings",
        "state",
        "successes",
    )

    def __init__(self, settings: Settings, now: float) -> None:
        self.settings = settings
        self.kernel = Kernel(settings)
        self.state = State.CLOSED
        self.control = Control.AUTOMATIC
        self.control_reason: str | None = None
        self.generation = 0
        self.attempt = 0
        self.successes = 0
        self.observed = _NOTHING
        self.changed_at = now
        self.past: Past = NO_PAST
        self.changes: tuple[Change | ControlChange | ProbeExpired | ResetDone, ...] = ()
        self._throttled_until = -math.inf
        self._half_open_until = math.inf
        self._probes: set[Ticket] | None = None
        self._running: dict[Ticket, None] | None = None
        self._unannounced: Change | None = None
        self._opening: Opening | None = None
        self._choose_path()

    # The kernel has these two, because it rejects calls by itself while the circuit is open.

    @property
    def open_until(self) -> float:
        """When an open circuit may be probed, in monotonic seconds."""
        return self.kernel.open_until

    @property
    def last_failure(self) -> str | None:
        """The last counted failure as text."""
        return self.kernel.last_failure

    @property
    def transitions(self) -> Mapping[tuple[State, State], int]:
        """How often each change of state happened."""
        return self.past.transitions

    def seconds_in(self, now: float) -> dict[State, float]:
        """Seconds spent in each state until `now`, in any number of stays."""
        seconds = {state: self.past.seconds.get(state, 0.0) for state in State}
        seconds[self.state] += max(0.0, now - self.changed_at)
        return seconds

    # Transitions

    def _open(
        self, at: float, reason: str, detail: str | None, outcome: Outcome | None, wait: float | None = None
    ) -> None:
        self.attempt += 1
        self.successes = 0
        rate = self.kernel.failure_rate(at)
        open_for = self.settings.open_for if wait is None else wait
        self.kernel.open_until = at + open_for
        self._throttled_until = -math.inf
        self._change(State.OPEN, at, reason, detail, open_for, announce=wait is not None)
        if wait is None:
            self._opening = Opening(self.attempt, 1.0 if rate is None else rate, outcome)

    def _half_open(self, now: float) -> None:
        self._half_open_until = now + self.settings.half_open_timeout
        self._change(State.HALF_OPEN, now, "open_elapsed")

    def _close(self, now: float, reason: str, detail: str | None) -> None:
        self.attempt = 0
        self.kernel.clear_window()
        self._change(State.CLOSED, now, reason, detail)

    def _change(
        self,
        to: State,
        at: float,
        reason: str,
        detail: str | None = None,
        open_for: float | None = None,
        *,
        announce: bool = True,
    ) -> None:
        self._announce()
        self._new_generation()
        if to is self.state:
            self._choose_path()
            return
        self.past = self.past.with_change(self.state, to, max(0.0, at - self.changed_at))
        self._unannounced = Change(self.state, to, reason, detail, open_for, self.attempt)
        self.state = to
        self.changed_at = at
        self._choose_path()
        if announce:
            self._announce()

    # Whoever calls it chooses the path when the state is what it will be, and not before: a call that entered the hot
    # path in between would belong to the new generation, and be taken for a probe.
    def _new_generation(self) -> None:
        self.generation += 1
        self._probes = self._running = None

    def _choose_path(self) -> None:
        hot = (
            self.state is State.CLOSED
            and self.control in (Control.AUTOMATIC, Control.OBSERVE_ONLY)
            and self.observed < _CALLS
            and not self.settings.count_in_flight_slow_calls
        )
        self.kernel.hot_generation = self.generation if hot else -1
        self.kernel.refusing = self._standing_refusal()

    def _standing_refusal(self) -> str | None:
        if self.state is not State.OPEN or self._unannounced is not None or self.observed > _NOTHING:
            return None
        return _STANDING_REFUSALS.get(self.control)

    def observe(self, calls: bool, rejections: bool) -> None:
        """Whether a listener wants to know of every call, or rejection, so that none may take the short way."""
        self.observed = _CALLS if calls else _REJECTIONS if rejections else _NOTHING
        self._choose_path()

    def _announce(self) -> None:
        self._opening = None
        if self._unannounced is not None:
            self.changes += (self._unannounced,)
            self._unannounced = None
            self._choose_path()

    def take_changes(self) -> tuple[Change | ControlChange | ProbeExpired | ResetDone, ...]:
        """What has happened since it was last asked."""
        changes, self.changes = self.changes, ()
        return changes

    # The open time. Strategies are user code, so they run without the lock: the circuit opens at once with the base
    # time, the caller works the real time out and brings it back, and only then is the change announced.

    def take_opening(self) -> Opening | None:
        """The opening whose time is to be worked out, given out once; None when there is none."""
        opening, self._opening = self._opening, None
        return opening

    def resolve_opening(self, generation: int, seconds: float) -> None:
        """Set the open time of `generation`, in seconds since it opened; nothing if another has begun."""
        if generation == self.generation and self._unannounced is not None:
            self.kernel.open_until = max(self.changed_at + seconds, self._throttled_until)
            self._unannounced = self._unannounced._replace(open_for=self.open_until - self.changed_at)
            self._announce()

    # The operator

    def force_open(self, now: float, reason: str) -> None:
        """Reject every call until told otherwise."""
        self._take_control(Control.FORCED_OPEN, reason)
        self.kernel.open_until = math.inf
        if self.state is not State.OPEN:
            self._change(State.OPEN, now, "operator", reason)

    def force_closed(self, now: float, reason: str) -> None:
        """Let every call through and record it, until told otherwise."""
        self._take_control(Control.FORCED_CLOSED, reason)
        self._close_for_operator(now, reason)

    def disable(self, now: float, reason: str) -> None:
        """Let every call through and record nothing, until told otherwise."""
        self._take_control(Control.DISABLED, reason)
        self._close_for_operator(now, reason)
        self._new_generation()  # calls in flight must not be recorded either
        self._choose_path()

    def observe_only(self, now: float, reason: str) -> None:
        """Decide and record, and reject nothing, until told otherwise."""
        self._hand_over(Control.OBSERVE_ONLY, now, reason)

    def automatic(self, now: float, reason: str) -> None:
        """Give control back to the breaker, which keeps its window."""
        self._hand_over(Control.AUTOMATIC, now, reason)

    def reset(self, now: float, reason: str) -> None:
        """Automatic, closed, with an empty window."""
        self._take_control(Control.AUTOMATIC, reason)
        self.changes += (ResetDone(reason),)
        self._close(now, "operator", reason)

    def _take_control(self, control: Control, reason: str) -> None:
        self._announce()
        if control is not self.control:
            self.changes += (ControlChange(self.control, control, reason),)
            self.control = control
            self._choose_path()
        self.control_reason = None if control is Control.AUTOMATIC else reason

    def _close_for_operator(self, now: float, reason: str) -> None:
        if self.state is not State.CLOSED:
            self._close(now, "operator", reason)

    def _hand_over(self, control: Control, now: float, reason: str) -> None:
        was_forced_open = self.control is Control.FORCED_OPEN
        self._take_control(control, reason)
        if was_forced_open:
            self._close(now, "operator", reason)
