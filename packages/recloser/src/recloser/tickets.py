"""One call, as the machine sees it."""

from __future__ import annotations

from typing import NamedTuple

from recloser.events import State
from recloser.outcomes import Outcome


class Refusal(NamedTuple):
    """Why a call is not admitted. `retry_after` is in seconds, None when only an operator can tell."""

    state: State
    reason: str
    retry_after: float | None


class Ticket:
    """One admitted call.

    Attributes:
        generation: The generation that admitted it.
        started: When, in monotonic seconds.
        hot: True when it was admitted on the hot path, and its ticket written later.
        shadow_of: The refusal it would have met, when it went through only because of shadow mode.
        settled: True once its outcome is known; it never is again.
        latency: Seconds to the first item of a stream; None to measure to the end.
        slow_token: Place in the window of a call that was counted as slow while it ran.
    """

    __slots__ = ("__weakref__", "generation", "hot", "latency", "settled", "shadow_of", "slow_token", "started")

    def __init__(self, generation: int, started: float, shadow_of: Refusal | None = None, *, hot: bool = False) -> None:
        self.generation = generation
        self.hot = hot
        self.started = started
        self.shadow_of = shadow_of
        self.settled = False
        self.latency: float | None = None
        self.slow_token: int | None = None


def hot_ticket(generation: int, started: float, latency: float | None) -> Ticket:
    """The ticket of a call that was admitted on the hot path, written when it turns out to need one."""
    ticket = Ticket(generation, started, hot=True)
    ticket.latency = latency
    return ticket


class Settled(NamedTuple):
    """How a call ended. `duration` is in seconds."""

    outcome: Outcome
    duration: float
    late: bool
