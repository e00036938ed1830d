"""Key figures of the circuit breakers in a window of time. Pure: what is kept goes in, figures come out.

Durations are seconds, ratios 0 to 1. Sums are over all processes: two replicas whose circuits are both open for a
minute make two minutes, of two that were observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from incident_manager.history.records import NUMBERS, Durations, Tally, Transition, add_durations, share
from recloser import BUCKET_BOUNDS, State

SLICES = 24
"""Equal parts of the window that `Kpis.slices` shows."""

DAY = 86400.0
_BOUNDS = {**{f"{bound:g}": bound for bound in BUCKET_BOUNDS}, "inf": BUCKET_BOUNDS[-1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Transitions of one kind, summed up.

    Attributes:
        breaker: Name of the breaker.
        from_state: The state before.
        to_state: The state after.
        by_operator: Whether an operator had a hand in them.
        count: How many.
        stayed: Seconds spent in the states before, together.
        recovery_seconds: Those of the transitions, together; 0 for such as do not close a circuit.
        contained: How many of them closed a circuit that had rejected calls.
    """

    breaker: str
    from_state: State
    to_state: State
    by_operator: bool
    count: int
    stayed: float
    recovery_seconds: float
    contained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of the window. Calls are those that somebody made, rejected ones included."""

    at: datetime
    calls: float
    failed: float
    rejected: float
    open_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpis:
    """The figures of one breaker, or of all together.

    Attributes:
        observed_seconds: How long processes looked at it, added up over processes and breakers.
        calls: Calls that say something: succeeded, failed and rejected ones.
        succeeded: Calls that succeeded, slow ones included.
        failed: Calls that failed.
        rejected: Calls that were rejected, for whatever reason.
        availability: `succeeded / calls`: what a caller could expect. None without calls.
        rejection_rate: `rejected / calls`. None without calls.
        open_seconds: How long it was open.
        open_ratio: `open_seconds / observed_seconds`. None when nobody looked.
        transitions: Changes of state.
        transitions_per_day: `transitions` over the length of the window in days.
        openings: Changes to open, whoever made them.
        mean_time_open: Mean length of the stays in open that ended in the window. None without one.
        recoveries: Troubles that ended in the window: the circuit closed again, and no operator had a hand in it.
        time_to_recovery: Their mean length, from the closed state to the closed state. None without one.
        p99: The time within which 99 of 100 callers had an answer, a rejected caller at once: the 99th percentile of
            the latencies of the calls that reached the dependency and of a 0 for each rejected call. The upper bound
            of its bucket in the histogram; the last bound stands for all that is longer. None without calls.
        p99_without_breaker: The same, if each rejected call had taken as long as failing calls of the same breaker
            did: the latencies `h[i]` become `h[i] + rejected * f[i] / sum(f)`, with `f` the latencies of calls that
            failed in the window. An estimate: it cannot know that the dependency would have recovered later or never
            under the load that was kept from it. None when calls were rejected and none failed in the window.
        failures_avoided: Calls rejected while the circuit was open or full of probes by the breaker's own decision:
            each would have gone to a dependency that the latest probe, or the failures before it, had shown to fail.
            An upper bound, since some of them may have succeeded. What operators held off is not in it.
        incidents_avoided: Those of the `recoveries` in which calls were rejected: a failing dependency that callers
            were told of at once, where each would have run into it.
        slices: The window in `SLICES` equal parts, oldest first.
    """

    observed_seconds: float
    calls: int
    succeeded: int
    failed: int
    rejected: int
    availability: float | None
    rejection_rate: float | None
    open_seconds: float
    open_ratio: float | None
    transitions: int
    transitions_per_day: float
    openings: int
    mean_time_open: float | None
    recoveries: int
    time_to_recovery: float | None
    p99: float | None
    p99_without_breaker: float | None
    failures_avoided: int
    incidents_avoided: int
    slices: tuple[Slice, ...]


T = TypeVar("T", Tally, Changes)


def summed(transitions: Iterable[Transition]) -> list[Changes]:
    """Transitions by kind."""
    groups: dict[tuple[str, State, State, bool], list[Transition]] = {}
    for one in transitions:
        groups.setdefault((one.breaker, one.from_state, one.to_state, one.by_operator), []).append(one)
    return [
        Changes(
            breaker=breaker,
            from_state=from_state,
            to_state=to_state,
            by_operator=by_operator,
            count=len(group),
            stayed=sum(one.stayed for one in group),
            recovery_seconds=sum(one.recovery_seconds or 0.0 for one in group),
            contained=sum(bool(one.rejected) for one in group),
        )
        for (breaker, from_state, to_state, by_operator), group in groups.items()
    ]


def by_breaker(
    names: Iterable[str], tallies: Sequence[Tally], changes: Sequence[Changes], since: datetime, until: datetime
) -> dict[str, Kpis]:
    """The figures of each breaker: those named, and those that anything is kept of."""
    counted, changed = _grouped(tallies), _grouped(changes)
    found = {*names, *counted, *changed}
    return {name: kpis(counted.get(name, []), changed.get(name, []), since, until) for name in sorted(found)}


def kpis(tallies: Sequence[Tally], changes: Sequence[Changes], since: datetime, until: datetime) -> Kpis:
    """The figures of all that is given.

    Args:
        tallies: Those that overlap the window. One across its edge counts by the share of its span that lies within.
        changes: Those within the window.
        since: Beginning of the window.
        until: Its end, later than that.
    """
    parts = [(one, share(one, since, until)) for one in tallies]
    total = {name: sum(getattr(one, name) * part for one, part in parts) for name in NUMBERS}
    rejected = total["rejected"] + total["held_off"]
    calls = total["succeeded"] + total["failed"] + rejected
    observed = total["closed_seconds"] + total["open_seconds"] + total["half_open_seconds"]
    opened = [one for one in changes if one.to_state is State.OPEN]
    left_open = [one for one in changes if one.from_state is State.OPEN]
    recovered = [one for one in changes if one.to_state is State.CLOSED and not one.by_operator]
    with_breaker, without = _p99s(parts, rejected)
    transitions = _count(changes)
    return Kpis(
        observed_seconds=observed,
        calls=round(calls),
        succeeded=round(total["succeeded"]),
        failed=round(total["failed"]),
        rejected=round(rejected),
        availability=_ratio(total["succeeded"], calls),
        rejection_rate=_ratio(rejected, calls),
        open_seconds=total["open_seconds"],
        open_ratio=_ratio(total["open_seconds"], observed),
        transitions=transitions,
        transitions_per_day=transitions * DAY / (until - since).total_seconds(),
        openings=_count(opened),
        mean_time_open=_mean(sum(one.stayed for one in left_open), _count(left_open)),
        recoveries=_count(recovered),
        time_to_recovery=_mean(sum(one.recovery_seconds for one in recovered), _count(recovered)),
        p99=with_breaker,
        p99_without_breaker=without,
        failures_avoided=round(total["rejected"]),
        incidents_avoided=sum(one.contained for one in recovered),
        slices=_slices(tallies, since, until),
    )


def percentile(durations: Durations, ratio: float, at_once: float = 0.0) -> float | None:
    """Upper bound of the bucket that holds this share of calls; None without calls.

    Args:
        durations: Calls by latency.
        ratio: The share, 0 to 1.
        at_once: Further calls that took no time.
    """
    total = sum(durations.values()) + at_once
    if total <= 0:
        return None
    seen = at_once
    if at_once and seen >= ratio * total:
        return 0.0
    for label, bound in _BOUNDS.items():
        seen += durations.get(label, 0)
        if seen >= ratio * total:
            return bound
    return BUCKET_BOUNDS[-1]  # the sum of fractions may fall short of the total by a rounding


def _p99s(parts: Sequence[tuple[Tally, float]], rejected: float) -> tuple[float | None, float | None]:
    """With the breaker and without; see `Kpis`. What one breaker rejected is taken as failing as its own calls do."""
    seen = add_durations(_scaled(one.durations, part) for one, part in parts)
    avoided: list[dict[str, float]] = []
    known = True
    parts_of: dict[str, list[tuple[Tally, float]]] = {}
    for one, part in parts:
        parts_of.setdefault(one.breaker, []).append((one, part))
    for own in parts_of.values():
        kept_off = sum((one.rejected + one.held_off) * part for one, part in own)
        failing = add_durations(_scaled(one.failed_durations, part) for one, part in own)
        failures = sum(failing.values())
        if failures > 0:
            avoided.append(_scaled(failing, kept_off / failures))
        elif kept_off > 0:
            known = False
    without = percentile(add_durations([seen, *avoided]), 0.99) if known else None
    return percentile(seen, 0.99, at_once=rejected), without


def _slices(tallies: Iterable[Tally], since: datetime, until: datetime) -> tuple[Slice, ...]:
    step = (until - since) / SLICES
    edges = [*(since + step * number for number in range(SLICES)), until]
    sums = [dict.fromkeys(("calls", "failed", "rejected", "open_seconds"), 0.0) for _ in range(SLICES)]
    for one in tallies:
        rejected = one.rejected + one.held_off
        first = max(0, (one.starts_at - since) // step)
        last = min(SLICES - 1, (one.ends_at - since) // step)
        for number in range(first, last + 1):
            part = share(one, edges[number], edges[number + 1])
            sums[number]["calls"] += (one.succeeded + one.failed + rejected) * part
            sums[number]["failed"] += one.failed * part
            sums[number]["rejected"] += rejected * part
            sums[number]["open_seconds"] += one.open_seconds * part
    return tuple(Slice(at=at, **values) for at, values in zip(edges, sums, strict=False))


def _scaled(durations: Durations, factor: float) -> dict[str, float]:
    return {label: count * factor for label, count in durations.items()}


def _grouped(items: Iterable[T]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for one in items:
        groups.setdefault(one.breaker, []).append(one)
    return groups


def _count(changes: Iterable[Changes]) -> int:
    return sum(one.count for one in changes)


def _ratio(part: float, whole: float) -> float | None:
    return min(1.0, part / whole) if whole > 0 else None


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None
