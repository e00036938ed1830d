"""Reading the Retry-After header (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait, 0 or more; None when the header is missing or unreadable.

    Args:
        value: The header: seconds (a fraction is accepted, though not in the standard) or an HTTP date.
        now: Unix time in seconds.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:  # the standard knows only GMT; a "-0000" date is read as naive
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)
