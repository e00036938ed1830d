"""Naming who holds a lease."""

from __future__ import annotations

import os
import socket
import uuid


def new_worker(part: str) -> str:
    """Return a name for what holds leases: `<host>:<process>:<8 hexadecimal digits>/<part>`, never given twice."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}/{part}"
