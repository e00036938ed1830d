"""What a line of the table is, in which order lines stand, and how fast counters grow. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

ORDERS = ("urgency", "calls", "failed", "rejected", "name")
"""What lines can be sorted by; the first is the default."""

Key: TypeAlias = tuple[str, str]
"""What stays the same from one reading of a breaker to the next: the program and the name."""

_RANK = {"open": 0, "half_open": 1}
_HELD, _CLOSED = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One breaker of one program at one instant. Counts only grow.

    Attributes:
        source: The program: its process and name, or the address it was read from.
        name: The breaker.
        state: `closed`, `open` or `half_open`.
        control: Who decides, see `recloser.Control`.
        calls: Calls that reached the dependency.
        failed: Of these, the failed ones, throttled ones included.
        rejected: Calls that did not reach it.
        would_be_rejected: Calls that reached it only because of shadow mode.
        openings: How often its circuit opened.
    """

    source: str
    name: str
    state: str
    control: str
    calls: float
    failed: float
    rejected: float
    would_be_rejected: float
    openings: float

    @property
    def key(self) -> Key:
        """What stays the same from one reading to the next."""
        return self.source, self.name


@dataclass(frozen=True, slots=True)
class Reading:
    """All lines at one instant, and what could not be read, in sentences."""

    lines: Sequence[Line]
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rates:
    """How much came in each second since the reading before. None when there is none."""

    calls: float | None = None
    failed: float | None = None
    rejected: float | None = None


def rates(lines: Iterable[Line], before: Mapping[Key, Line], seconds: float) -> dict[Key, Rates]:
    """The rates of all lines. A counter that has shrunk belongs to a new process and has none yet."""
    found = {}
    for line in lines:
        earlier = before.get(line.key)
        if earlier is None or seconds <= 0 or line.calls < earlier.calls or line.rejected < earlier.rejected:
            found[line.key] = Rates()
        else:
            found[line.key] = Rates(
                (line.calls - earlier.calls) / seconds,
                max(0.0, line.failed - earlier.failed) / seconds,
                (line.rejected - earlier.rejected) / seconds,
            )
    return found


def chosen(lines: Iterable[Line], pattern: str, states: Sequence[str]) -> list[Line]:
    """The lines whose name matches a pattern, and whose state is one of these; no state means any."""
    return [one for one in lines if fnmatch.fnmatchcase(one.name, pattern) and (not states or one.state in states)]


def ordered(lines: Iterable[Line], order: str, speed: Mapping[Key, Rates]) -> list[Line]:
    """The lines in one of `ORDERS`: by rate, then by count, the most first; by urgency what is open comes first."""

    def most(one: Line, count: float, rate: float | None) -> tuple[object, ...]:
        return -(rate or 0.0), -count, one.name, one.source

    def place(one: Line) -> tuple[object, ...]:
        rate = speed.get(one.key, Rates())
        match order:
            case "calls":
                return most(one, one.calls, rate.calls)
            case "failed":
                return most(one, one.failed, rate.failed)
            case "rejected":
                return most(one, one.rejected, rate.rejected)
            case "name":
                return one.name, one.source
            case _:
                return _urgency(one), one.name, one.source

    return sorted(lines, key=place)


def _urgency(line: Line) -> int:
    rank = _RANK.get(line.state, _CLOSED)
    return rank if line.control == "automatic" else min(rank, _HELD)
