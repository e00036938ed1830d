"""The part of a breaker that sees every call: `python.py` is the reference, `_kernel.c` the same in C.

Which one is used is decided here, once. `RECLOSER_KERNEL` forces `c` or `python`; without it the compiled one is used
where it was built.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from recloser.kernel.python import BUCKET_BOUNDS, Reading

if TYPE_CHECKING:
    from recloser.kernel.python import Kernel

__all__ = ["BUCKET_BOUNDS", "Kernel", "Reading", "compiled", "kernel_name"]


def _choose() -> tuple[type[Kernel], Any]:
    forced = os.environ.get("RECLOSER_KERNEL") or None
    if forced not in (None, "c", "python"):
        raise ImportError(f"RECLOSER_KERNEL={forced!r}: must be 'c' or 'python', or not be set")
    if forced != "python":
        try:
            from recloser.kernel import _kernel
            from recloser.kernel.native import Kernel as NativeKernel

            return NativeKernel, _kernel  # type: ignore[return-value]
        except ImportError as exc:
            if forced == "c":
                raise ImportError(
                    "RECLOSER_KERNEL=c, but the compiled kernel cannot be imported: install recloser where a C "
                    f"compiler and Python's headers are, or leave the variable unset ({exc})"
                ) from exc
    from recloser.kernel.python import Kernel as PythonKernel

    return PythonKernel, None


_kernel_type, compiled = _choose()
"""`compiled` is the extension module, or None when the Python kernel is in use."""

if not TYPE_CHECKING:
    Kernel = _kernel_type


def kernel_name() -> str:
    """Which kernel is in use: `"c"` or `"python"`."""
    return "python" if compiled is None else "c"
