"""The table as lines of text, for a width and a height. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recloser.top.lines import Key, Line, Rates

_TITLES = (
    *("state", "name", "program", "control"),
    *("calls/s", "failed/s", "rejected/s", "calls", "failed", "rejected", "opened"),
)
_NAME, _PROGRAM, _CONTROL = 1, 2, 3
_DISPENSABLE = (10, 8, 7, 9)
_NARROWEST = 12
_GAP = "  "
_COLOURS = {"open": "31", "half_open": "33", "closed": "32"}


def table(lines: Sequence[Line], speed: Mapping[Key, Rates], width: int | None, *, coloured: bool = False) -> list[str]:
    """A line of titles and one for each breaker.

    What does not fit into the width is left out: totals first, then what is too long of programs and of names.

    Args:
        lines: In the order in which they are shown.
        speed: Their rates.
        width: Columns that there are; None for as many as it takes.
        coloured: Whether states are coloured.
    """
    cells = [_TITLES, *(_cells(one, speed.get(one.key, Rates())) for one in lines)]
    widths = dict(enumerate(max(len(row[column]) for row in cells) for column in range(len(_TITLES))))
    for column in _DISPENSABLE:
        if width is not None and _room(widths) > width:
            del widths[column]
    for column in (_PROGRAM, _NAME):
        too_wide = 0 if width is None else max(0, _room(widths) - width)
        widths[column] -= max(0, min(too_wide, widths[column] - _NARROWEST))
    return [_row(row, widths, width, coloured=coloured) for row in cells]


def _room(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def summary(lines: Sequence[Line], problems: Sequence[str], hint: str, width: int | None) -> list[str]:
    """What stands above the table: how many circuits are in which state, and what could not be read."""
    states = {state: sum(one.state == state for one in lines) for state in ("open", "half_open", "closed")}
    held = sum(one.control != "automatic" for one in lines)
    counts = [f"{count} {state.replace('_', '-')}" for state, count in states.items()]
    counts += [f"{held} held by an operator"] if held else []
    head = f"recloser top: {len(lines)} breakers: {', '.join(counts)}{hint}"
    return [shown(line)[:width] for line in (head, *(f"! {problem}" for problem in problems))]


def shown(text: str) -> str:
    """A text that cannot move the cursor: names come from programs."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _cells(line: Line, rate: Rates) -> tuple[str, ...]:
    texts = (line.state, line.name, line.source, line.control)
    speeds = (rate.calls, rate.failed, rate.rejected)
    rejected = _count(line.rejected)
    if line.would_be_rejected:
        rejected += f" ({_count(line.would_be_rejected)} would be)"
    numbers = (_count(line.calls), _count(line.failed), rejected, _count(line.openings))
    return (*map(shown, texts), *("-" if each is None else f"{each:.1f}" for each in speeds), *numbers)


def _count(value: float) -> str:
    return f"{value:.0f}"


def _row(cells: Sequence[str], widths: Mapping[int, int], width: int | None, *, coloured: bool) -> str:
    parts = []
    for column, room in widths.items():
        text = cells[column]
        cut = text if len(text) <= room else f"{text[: room - 1]}…"
        parts.append(cut.ljust(room) if column <= _CONTROL else cut.rjust(room))
    row = _GAP.join(parts)[:width].rstrip()
    state = cells[0]
    colour = _COLOURS.get(state)
    return f"\x1b[{colour}m{state}\x1b[0m{row[len(state) :]}" if coloured and colour and row.startswith(state) else row
