"""A breaker's state as plain values, to outlive the process."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from recloser.errors import SnapshotError
from recloser.events import Control, State
from recloser.machine import Machine

VERSION = 1

_STATE_OF_CONTROL = {
    Control.FORCED_OPEN: State.OPEN,
    Control.FORCED_CLOSED: State.CLOSED,
    Control.DISABLED: State.CLOSED,
}
"""The state an operator's word implies, whatever a snapshot that was edited by hand says besides."""


class Restorable(NamedTuple):
    """A checked snapshot. `remaining` is the open time left in seconds."""

    name: str
    state: State
    control: Control
    control_reason: str | None
    attempt: int
    remaining: float
    last_failure: str | None

    def apply(self, machine: Machine, now: float) -> None:
        """Put a new machine into this state."""
        machine.restore(*self[1:], now)


def take(machine: Machine, name: str, now: float, time: float) -> dict[str, Any]:
    """Export a state. The caller holds the lock; `now` is monotonic and `time` Unix seconds."""
    remaining = machine.open_until - now if machine.state is State.OPEN else 0.0
    return {
        "version": VERSION,
        "name": name,
        "taken_at": time,
        "state": str(machine.state),
        "control": str(machine.control),
        "control_reason": machine.control_reason,
        "attempt": machine.attempt,
        "open_remaining": max(0.0, remaining) if math.isfinite(remaining) else None,
        "last_failure": machine.last_failure,
    }


def _member(snapshot: dict[str, Any], name: str, kinds: tuple[type, ...], rule: str) -> Any:
    value = snapshot.get(name)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise SnapshotError(name, value, rule)
    return value


def check(snapshot: dict[str, Any], time: float) -> Restorable:
    """Check a snapshot and work out how much of its open time is left at `time` (Unix seconds).

    Raises:
        SnapshotError: A member is missing, or has a value that cannot be.
    """
    if not isinstance(snapshot, dict) or snapshot.get("version") != VERSION:
        version = snapshot.get("version") if isinstance(snapshot, dict) else None
        raise SnapshotError("version", version, f"must be {VERSION}")
    try:
        state, control = State(str(snapshot.get("state"))), Control(str(snapshot.get("control")))
    except ValueError as exc:
        raise SnapshotError("state/control", (snapshot.get("state"), snapshot.get("control")), str(exc)) from None
    remaining = _member(snapshot, "open_remaining", (int, float, type(None)), "must be seconds, or null for no end")
    taken_at = _member(snapshot, "taken_at", (int, float), "must be Unix seconds")
    attempt = _member(snapshot, "attempt", (int,), "must be a whole number, 0 or more")
    if attempt < 0 or (remaining is not None and not 0 <= remaining < math.inf):
        raise SnapshotError("attempt/open_remaining", (attempt, remaining), "must be 0 or more")
    if remaining is None and control is not Control.FORCED_OPEN:
        raise SnapshotError("open_remaining", None, "may be null only when an operator holds the circuit open")
    # A wall clock that was set back meanwhile must not lengthen the wait.
    passed = max(0.0, time - taken_at)
    return Restorable(
        name=_member(snapshot, "name", (str,), "must be text"),
        state=_STATE_OF_CONTROL.get(control, state),
        control=control,
        control_reason=_member(snapshot, "control_reason", (str, type(None)), "must be text or null"),
        attempt=attempt,
        remaining=math.inf if control is Control.FORCED_OPEN else max(0.0, (remaining or 0.0) - passed),
        last_failure=_member(snapshot, "last_failure", (str, type(None)), "must be text or null"),
    )
