"""Identifiers that sort by time and say what they name."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Literal

Kind = Literal["inc", "alt", "msg", "sil", "run", "grp"]


def new_id(kind: Kind, at: datetime) -> str:
    """Return the kind, `_` and 32 hexadecimal digits laid out as a UUIDv7 (RFC 9562, section 5.7).

    The first 48 bits are the milliseconds of `at`, so ids sort by creation time; 74 bits are random.
    """
    milliseconds = int(at.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    random = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return f"{kind}_{value:032x}"


def event_id(*parts: str) -> str:
    """Return `evt_` and 32 hexadecimal digits that are the same for the same parts: an id for what has one already.

    Args:
        parts: The name of the format, and what a sender gives every delivery of one message.
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return f"evt_{digest.hexdigest()[:32]}"


def is_event_id(text: str) -> bool:
    """Tell whether an id is one of `event_id`, so that an alert of this id may have been taken before."""
    return text.startswith("evt_")
