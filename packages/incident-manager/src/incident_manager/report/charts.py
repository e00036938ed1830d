"""Where the marks of a chart stand. Pure geometry; the template draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from incident_manager.api.breaker_history_schemas import SliceOut

WIDTH, HEIGHT = 720.0, 160.0
"""Of the plotting area, in pixels at its natural size."""

_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One part of a column. Lengths are pixels, from the upper left."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What happened in one part of the window."""

    at: datetime
    x: float
    width: float
    calls: float
    failed: float
    rejected: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsChart:
    """Calls over time, stacked by how they ended.

    Attributes:
        top: Calls that the whole height stands for.
    """

    top: float
    columns: tuple[Column, ...]


def calls_chart(slices: Sequence[SliceOut]) -> CallsChart:
    """The chart of the slices of a window."""
    top = max((one.calls for one in slices), default=0.0)
    step = WIDTH / max(1, len(slices))
    return CallsChart(
        top=top,
        columns=tuple(_column(one, number * step, step, top) for number, one in enumerate(slices)),
    )


def _column(one: SliceOut, x: float, step: float, top: float) -> Column:
    parts = {
        "rejected": one.rejected,
        "failed": one.failed,
        "succeeded": max(0.0, one.calls - one.failed - one.rejected),
    }
    bars, y = [], HEIGHT
    for kind, calls in parts.items():
        height = HEIGHT * calls / top if top else 0.0
        y -= height
        if height:
            bars.append(Bar(kind=kind, x=x + 1, y=y, width=step - 2, height=height))
    return Column(
        at=one.at, x=x, width=step, calls=one.calls, failed=one.failed, rejected=one.rejected, bars=tuple(bars)
    )


def open_shares(slices: Sequence[SliceOut], window: float) -> list[float]:
    """For each slice which share of it the circuit was open in, 0 to 1; those of several processes add up."""
    length = window / max(1, len(slices))
    return [min(1.0, one.open_seconds / length) for one in slices]


def sparkline(values: Sequence[float]) -> str:
    """Values as a line of blocks, the highest of them full; a dot stands for zero."""
    top = max(values, default=0.0)
    if top <= 0:
        return "·" * len(values)
    last = len(_BLOCKS) - 1
    return "".join("·" if value <= 0 else _BLOCKS[min(last, int(value / top * last))] for value in values)
