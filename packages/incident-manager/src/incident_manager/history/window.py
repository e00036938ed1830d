"""The period that somebody asks about, as text: `1h`, `24h`, `7d`, `PT90M` or seconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from pydantic import TypeAdapter, ValidationError

SHORTEST = 60.0
"""Seconds."""

LONGEST = 90 * 86400.0
"""Seconds."""

_SIMPLE = re.compile(r"(\d{1,9})(s|m|h|d|w)", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_ISO = TypeAdapter(timedelta)


def parse_window(text: str) -> float:
    """Return the seconds that a text means.

    Args:
        text: A number with a unit (`s`, `m`, `h`, `d` or `w`), a duration as ISO 8601 writes it, or seconds.

    Raises:
        ValueError: It is none of these, shorter than a minute or longer than 90 days.
    """
    seconds = duration_of(text.strip())
    if seconds is None:
        raise ValueError(f"must be a duration such as 1h, 24h, 7d, PT90M or 3600 (seconds); given {text[:40]!r}")
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"must be 1 minute to 90 days; given {text[:40]!r}")
    return seconds


def duration_of(text: str) -> float | None:
    """Return the seconds that a text means, however many; None when it is no duration."""
    if simple := _SIMPLE.fullmatch(text):
        return int(simple[1]) * _UNITS[simple[2]]
    if _SECONDS.fullmatch(text):
        return float(text)
    if not text.startswith("P"):
        return None
    try:
        seconds = _ISO.validate_python(text).total_seconds()
    except ValidationError:
        return None
    return seconds if math.isfinite(seconds) else None
