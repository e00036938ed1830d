"""What is kept of the circuit breakers: each change of state, and counters over short spans of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from recloser import BUCKET_BOUNDS, State

LABELS = (*(f"{bound:g}" for bound in BUCKET_BOUNDS), "inf")
"""Names of the latency buckets: the upper bound of each in seconds."""

Durations = Mapping[str, float]
"""Calls by the label of their latency bucket; buckets without calls are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of state of one breaker of one process.

    Attributes:
        instance: The process.
        number: Its transitions are counted; with `instance` it names the transition for ever.
        at: When it happened (UTC).
        reason: As in `recloser.StateChanged`.
        detail: The operator's words, or the failure that opened the circuit.
        open_for: Seconds until the first probe, for one that opens.
        attempt: Openings since the circuit was last closed.
        stayed: Seconds spent in the state before.
        recovery_seconds: For one that closes the circuit: seconds since it was last closed.
        rejected: For one that closes the circuit: calls rejected since it was last closed.
        by_operator: Whether an operator had a hand in it: this change, or any since the circuit was last closed.
        sequence: Order, given by the store; None before that.
    """

    instance: str
    number: int
    breaker: str
    at: datetime
    from_state: State
    to_state: State
    reason: str
    detail: str | None = None
    open_for: float | None = None
    attempt: int = 0
    stayed: float = 0.0
    recovery_seconds: float | None = None
    rejected: int | None = None
    by_operator: bool = False
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one breaker counted in a span of time. Tallies of several processes and spans add up.

    Attributes:
        instance: The process, or the roll-up that made one of several.
        starts_at: Beginning of the span (UTC).
        ends_at: Its end.
        succeeded: Calls that succeeded, slow ones included.
        failed: Calls that failed, were throttled, refused our configuration, or hung as probes.
        other: Calls that say nothing about the dependency: ignored or released.
        rejected: Calls that a circuit rejected which the breaker had opened.
        held_off: Calls rejected because an operator held the circuit open.
        closed_seconds: Seconds in the state.
        open_seconds: Seconds in the state.
        half_open_seconds: Seconds in the state.
        durations: Latencies of the calls that reached the dependency.
        failed_durations: Latencies of the failed ones among them.
    """

    instance: str
    breaker: str
    starts_at: datetime
    ends_at: datetime
    succeeded: float = 0
    failed: float = 0
    other: float = 0
    rejected: float = 0
    held_off: float = 0
    closed_seconds: float = 0.0
    open_seconds: float = 0.0
    half_open_seconds: float = 0.0
    durations: Durations = field(default_factory=dict)
    failed_durations: Durations = field(default_factory=dict)


NUMBERS = (
    "succeeded",
    "failed",
    "other",
    "rejected",
    "held_off",
    "closed_seconds",
    "open_seconds",
    "half_open_seconds",
)
"""The members of `Tally` that add up."""


def add_durations(many: Iterable[Durations]) -> dict[str, float]:
    """Histograms added up."""
    found: dict[str, float] = {}
    for durations in many:
        for label, count in durations.items():
            found[label] = found.get(label, 0) + count
    return found


def add_up(instance: str, tallies: Iterable[Tally]) -> list[Tally]:
    """Tallies as few: one for each breaker and hour in which a span began.

    Args:
        instance: What the sums are kept under.
        tallies: Any.
    """
    groups: dict[tuple[str, datetime], list[Tally]] = {}
    for tally in tallies:
        hour = tally.starts_at.replace(minute=0, second=0, microsecond=0)
        groups.setdefault((tally.breaker, hour), []).append(tally)
    return [_sum(instance, members) for members in groups.values()]


def _sum(instance: str, members: list[Tally]) -> Tally:
    return Tally(
        instance=instance,
        breaker=members[0].breaker,
        starts_at=min(one.starts_at for one in members),
        ends_at=max(one.ends_at for one in members),
        **{name: sum(getattr(one, name) for one in members) for name in NUMBERS},
        durations=add_durations(one.durations for one in members),
        failed_durations=add_durations(one.failed_durations for one in members),
    )


def share(tally: Tally, since: datetime, until: datetime) -> float:
    """Which part of a tally's span lies within a period, 0 to 1: what is counted in it is taken as spread evenly."""
    length = tally.ends_at - tally.starts_at
    if length <= timedelta():
        return 1.0 if since <= tally.starts_at < until else 0.0
    overlap = min(tally.ends_at, until) - max(tally.starts_at, since)
    return max(0.0, overlap / length)
