"""Identifiers that sort by time and say what they name."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Literal

Kind = Literal["inc", "alt", "msg", "sil"]


def new_id(kind: Kind, at: datetime) -> str:
    """Return `inc_`, `alt_` or `msg_` and 32 hexadecimal digits laid out as a UUIDv7 (RFC 9562, section 5.7).

    The first 48 bits are the milliseconds of `at`, so ids sort by creation time; 74 bits are random.
    """
    milliseconds = int(at.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    random = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return f"{kind}_{value:032x}"
