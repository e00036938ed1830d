"""Retries of tenacity that know about an open circuit. Needs `recloser[tenacity]`.

@retry(retry=retry_unless_open(), wait=wait_retry_after(wait_exponential()), stop=stop_after_attempt(3))
@breaker
def fetch(): ...
"""

from __future__ import annotations

from tenacity import RetryCallState, retry_if_exception_type
from tenacity.retry import retry_base
from tenacity.wait import wait_base, wait_none

from recloser.errors import CircuitOpenError
from recloser.settings import check_seconds

__all__ = ["retry_unless_open", "wait_retry_after"]


def _rejection(state: RetryCallState) -> CircuitOpenError | None:
    exc = state.outcome.exception() if state.outcome is not None else None
    return exc if isinstance(exc, CircuitOpenError) else None


class retry_unless_open(retry_base):
    """Retry as `retry` says, but give up at once when the circuit is open: the rejection is raised as it is.

    Args:
        retry: Decides about everything that is not a rejection; by default every `Exception` is retried.
        longest: Seconds that are worth waiting: a rejection whose `retry_after` is known and at most this long is
            retried. Use `wait_retry_after` with it.

    Raises:
        SettingsError: `longest` is not a finite number of seconds, 0 or more.
    """

    def __init__(self, retry: retry_base | None = None, *, longest: float = 0.0) -> None:
        check_seconds("longest", longest, zero=True)
        self._retry = retry_if_exception_type() if retry is None else retry
        self._longest = longest

    def __call__(self, retry_state: RetryCallState) -> bool:
        rejection = _rejection(retry_state)
        if rejection is None:
            return self._retry(retry_state)
        return rejection.retry_after is not None and rejection.retry_after <= self._longest


class wait_retry_after(wait_base):
    """Wait until an open circuit may admit a call (`retry_after`), and as `otherwise` says after everything else.

    Args:
        otherwise: By default there is no wait.
    """

    def __init__(self, otherwise: wait_base | None = None) -> None:
        self._otherwise = wait_none() if otherwise is None else otherwise

    def __call__(self, retry_state: RetryCallState) -> float:
        rejection = _rejection(retry_state)
        if rejection is None or rejection.retry_after is None:
            return self._otherwise(retry_state)
        return rejection.retry_after
