"""Breakers seen from outside: one module per target, each needs its own extra."""

from recloser.events import State

__all__ = ["STATE_VALUES"]

STATE_VALUES = {State.CLOSED: 0, State.OPEN: 1, State.HALF_OPEN: 2}
"""The number that stands for a state in metrics."""
