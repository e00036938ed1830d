"""Retries of stamina that know about an open circuit. Needs `recloser[stamina]`.

@stamina.retry(on=unless_open(ConnectionError))
@breaker
def fetch(): ...
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

from recloser.errors import CircuitOpenError
from recloser.settings import check_seconds

__all__ = ["unless_open"]

BackoffHook: TypeAlias = Callable[[Exception], bool | float | timedelta]
"""What stamina calls so: whether to retry, or how long to wait before (seconds or a timedelta)."""


def unless_open(
    on: type[Exception] | tuple[type[Exception], ...] | BackoffHook, *, longest: float = 0.0
) -> BackoffHook:
    """For stamina's `on=`: retry as `on` says, but give up at once when the circuit is open.

    Args:
        on: What stamina takes: exception types or a backoff hook. It decides about all that is not a rejection.
        longest: Seconds that are worth waiting: after a rejection whose `retry_after` is known and at most this long,
            exactly that time is waited and the call is made again. Stamina's `timeout` still ends it.

    Raises:
        SettingsError: `longest` is not a finite number of seconds, 0 or more.
    """
    check_seconds("longest", longest, zero=True)

    def hook(exc: Exception) -> bool | float | timedelta:
        if isinstance(exc, CircuitOpenError):
            # A float, even 0.0: for stamina a bool would mean its own backoff.
            return float(exc.retry_after) if exc.retry_after is not None and exc.retry_after <= longest else False
        return isinstance(exc, on) if isinstance(on, type | tuple) else on(exc)

    return hook
