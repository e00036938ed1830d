"""Moments, as the service keeps them: aware, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from recloser import Clock


def now_of(clock: Clock) -> datetime:
    """Return what time it is, in UTC."""
    return datetime.fromtimestamp(clock.time(), UTC)
