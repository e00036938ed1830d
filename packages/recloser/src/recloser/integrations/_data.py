"""What the integrations of databases and caches share: one call to the server, and what its errors say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

from recloser.breaker import CircuitBreaker
from recloser.errors import CircuitOpenError
from recloser.outcomes import Outcome
from recloser.permits import Permit

logger = logging.getLogger("recloser")

Judge: TypeAlias = Callable[[Exception], Outcome]
"""FAILURE of the server, SUCCESS (it answered, with an error), or IGNORED (it was never asked)."""

# Classes of PostgreSQL's table of error codes (its appendix A): connection exception, insufficient resources,
# operator intervention (shutdown, statement_timeout), system error, configuration file error, internal error.
_OUTAGE_CLASSES = frozenset({"08", "53", "57", "58", "F0", "XX"})


def judge_sqlstate(sqlstate: str) -> Outcome:
    """Whether an SQLSTATE tells of a server in trouble, or is an answer (constraint, syntax, permission, deadlock)."""
    return Outcome.FAILURE if sqlstate[:2] in _OUTAGE_CLASSES else Outcome.SUCCESS


class Guard:
    """Protects calls to one server.

    What the server answered with is a success; everything else is judged by the settings of the breaker. A breaker
    with a `classify` of its own judges alone.

    Args:
        breaker: Is asked before each call.
        judge: What an exception says of the server.
        rejection: Makes another exception of a `CircuitOpenError`, to be raised in its place.
    """

    __slots__ = ("_breaker", "_judge", "_rejection")

    def __init__(
        self,
        breaker: CircuitBreaker,
        judge: Judge,
        rejection: Callable[[CircuitOpenError], Exception] | None = None,
    ) -> None:
        self._breaker = breaker
        self._judge = judge
        self._rejection = rejection

    def call(self) -> Call:
        """A block that makes one call.

        Raises:
            CircuitOpenError: On entering, when the call is rejected.
        """
        return Call(self)

    def connecting(self) -> Permit:
        """A block that connects; whatever is raised there is judged by the breaker's settings.

        Raises:
            CircuitOpenError: The call is rejected.
        """
        return self.acquire()

    def acquire(self) -> Permit:
        """A permit for one call.

        Raises:
            CircuitOpenError: The call is rejected.
        """
        if self._rejection is None:
            return self._breaker.acquire()
        try:
            return self._breaker.acquire()
        except CircuitOpenError as error:
            raise self._rejection(error) from None

    def settle(self, permit: Permit, exc: BaseException | None) -> None:
        """Say how the call ended."""
        if exc is None:
            permit.success()
        elif not isinstance(exc, Exception) or self._breaker.settings.classify is not None:
            permit.settle(exc)
        else:
            self._settle_judged(permit, exc)

    def _settle_judged(self, permit: Permit, exc: Exception) -> None:
        try:
            outcome = self._judge(exc)
        except Exception:  # an error of the driver whose text cannot be had, say: it must still reach the caller
            logger.exception("an error of %r could not be judged; the call is counted as a failure", self._breaker.name)
            outcome = Outcome.FAILURE
        if outcome is Outcome.SUCCESS:
            permit.success()
        elif outcome is Outcome.IGNORED:
            permit.ignore()
        else:
            permit.settle(exc)


class Call:
    """One call as a block, for `with` in functions and coroutine functions alike."""

    __slots__ = ("_guard", "_permit")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._permit: Permit | None = None

    def __enter__(self) -> Self:
        self._permit = self._guard.acquire()
        return self

    def failed(self, exc: Exception) -> None:
        """The call failed though it will raise nothing."""
        if self._permit is not None:
            self._guard.settle(self._permit, exc)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._permit is not None:
            self._guard.settle(self._permit, exc)
