"""The part of a breaker that sees every call. `python.py` is the reference."""

from __future__ import annotations

from recloser.kernel.python import BUCKET_BOUNDS, Kernel

__all__ = ["BUCKET_BOUNDS", "Kernel", "kernel_name"]


def kernel_name() -> str:
    """Which kernel is in use: `"python"`."""
    return "python"
