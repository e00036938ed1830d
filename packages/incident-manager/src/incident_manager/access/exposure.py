"""Who is asked for a token, and what an address to listen on exposes."""

from __future__ import annotations

import ipaddress
from typing import Literal

AuthMode = Literal["auto", "tokens", "none"]


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address to listen on."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"
