"""Figures as people read them."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """Seconds in the unit that suits them; nothing for None."""
    if seconds is None:
        return ""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def percent(ratio: float | None) -> str:
    """A ratio as per cent; a dash for None."""
    return "-" if ratio is None else f"{ratio:.2%}"
