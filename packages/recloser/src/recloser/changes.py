"""What a machine has done, to be announced once its lock is released."""

from __future__ import annotations

from typing import NamedTuple

from recloser.events import Control, State


class Change(NamedTuple):
    """A change of state; see `recloser.StateChanged` for the meaning of the members."""

    from_state: State
    to_state: State
    reason: str
    detail: str | None
    open_for: float | None
    attempt: int


class ControlChange(NamedTuple):
    """A change of control."""

    from_control: Control
    to_control: Control
    reason: str


class ProbeExpired(NamedTuple):
    """A probe had not ended when its half-open period ran out. `duration` is in seconds."""

    duration: float


class ResetDone(NamedTuple):
    """An operator's reset."""

    reason: str
