"""What a machine has done: to be announced once its lock is released, and to be counted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
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


class Past(NamedTuple):
    """The states a machine has left: how often each change happened, and the seconds spent in each."""

    transitions: Mapping[tuple[State, State], int]
    seconds: Mapping[State, float]

    def with_change(self, from_state: State, to_state: State, seconds: float) -> Past:
        """The same, and one change more, after `seconds` in the state that was left."""
        pair = (from_state, to_state)
        return Past(
            {**self.transitions, pair: self.transitions.get(pair, 0) + 1},
            {**self.seconds, from_state: self.seconds.get(from_state, 0.0) + seconds},
        )


NO_PAST = Past(MappingProxyType({}), MappingProxyType({}))
"""The past of a machine that has never changed its state, shared by all of them."""
