"""What the integrations of databases and caches share: one call to the server, and what its errors say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeAlias

from recloser.breaker import CircuitBreaker
from recloser.errors import CircuitOpenError
from recloser.events import State
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


_ENDS_OF_TRANSACTIONS = frozenset({"COMMIT", "END", "RELEASE", "ROLLBACK"})


def ends_transaction(statement: Any) -> bool:
    """Whether a statement must never be rejected: it would leave a transaction open, or hide the error it ends for."""
    if isinstance(statement, bytes):
        statement = statement[:64].decode("ascii", "replace")
    if not isinstance(statement, str):
        return False
    words = statement[:64].split(maxsplit=1)
    return bool(words) and words[0].rstrip(";").upper() in _ENDS_OF_TRANSACTIONS


class Guard:
    """Protects calls to one server.

    What the server answered with is a success; everything else is judged by the settings of the breaker. A breaker
    with a `classify` of its own judges alone.

    Args:
        breaker: Is asked before each call.
        judge: What an exception says of the server.
        rejection: Makes another exception of a `CircuitOpenError`, to be raised in its place.
    """

    __slots__ = ("_judge", "_rejection", "breaker")

    def __init__(
        self,
        breaker: CircuitBreaker,
        judge: Judge,
        rejection: Callable[[CircuitOpenError], Exception] | None = None,
    ) -> None:
        self.breaker = breaker
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

    def judged_by(self, judge: Judge) -> Guard:
        """The same protection with another judge."""
        return Guard(self.breaker, judge, self._rejection)

    def reading(self) -> Reading:
        """A block that goes on with a call that was admitted: it is never rejected, and only its failure counts."""
        return Reading(self)

    def statement(self, statement: Any) -> Call | Reading:
        """The block for a statement: a call, unless it must never be rejected.

        Raises:
            CircuitOpenError: On entering, when the call is rejected.
        """
        return Reading(self) if ends_transaction(statement) else Call(self)

    def acquire(self) -> Permit:
        """A permit for one call.

        Raises:
            CircuitOpenError: The call is rejected.
        """
        if self._rejection is None:
            return self.breaker.acquire()
        try:
            return self.breaker.acquire()
        except CircuitOpenError as error:
            raise self._rejection(error) from None

    def note(self, exc: Exception) -> None:
        """Count a failure that happened outside of a call. An open circuit needs no more of them."""
        if self.breaker.state is State.OPEN:
            return
        try:
            permit = self.breaker.acquire()
        except CircuitOpenError:
            return  # all probes are taken, and they will tell
        if self.breaker.settings.classify is not None or self._outcome(exc) is Outcome.FAILURE:
            permit.settle(exc)
        else:
            permit.ignore()

    def settle(self, permit: Permit, exc: BaseException | None) -> None:
        """Say how the call ended."""
        if exc is None:
            permit.success()
        elif not isinstance(exc, Exception) or self.breaker.settings.classify is not None:
            permit.settle(exc)
        else:
            self._settle_judged(permit, exc)

    def _outcome(self, exc: Exception) -> Outcome:
        try:
            return self._judge(exc)
        except Exception:  # an error of the driver whose text cannot be had, say: it must still reach the caller
            logger.exception("an error of %r could not be judged; the call is counted as a failure", self.breaker.name)
            return Outcome.FAILURE

    def _settle_judged(self, permit: Permit, exc: Exception) -> None:
        outcome = self._outcome(exc)
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

    def answered(self) -> None:
        """The time until now is how long the server took; what follows is up to the caller, or meant to wait."""
        if self._permit is not None:
            self._permit.mark_first_item()

    def failed(self, exc: Exception) -> None:
        """The call failed though it will raise nothing."""
        if self._permit is not None:
            self._guard.settle(self._permit, exc)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._permit is not None:
            self._guard.settle(self._permit, exc)


class Reading:
    """A block that is never rejected; only a failure counts."""

    __slots__ = ("_guard",)

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(exc, Exception):
            self._guard.note(exc)
