"""The two-step way in: take a permit, do the work, say how it went. Settled exactly once."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from recloser.outcomes import (
    FAILURE,
    IGNORED,
    SUCCESS,
    Outcome,
    Verdict,
    classify_exception,
    classify_result,
    describe,
)
from recloser.tickets import Ticket, hot_ticket

if TYPE_CHECKING:
    from recloser.controller import Controller

T = TypeVar("T")


class Permit:
    """Leave to make one call, from `CircuitBreaker.acquire()`.

    Say how the call went with exactly one of `success`, `failure`, `ignore`, `throttled` or `settle`; the first word
    counts and later ones change nothing. Used as a context manager it settles itself from what the block raises. A
    permit that is dropped without a word is released: its slot comes back and nothing is recorded.
    """

    __slots__ = ("__weakref__", "_controller", "_ticket")

    def __init__(self, controller: Controller, ticket: Ticket) -> None:
        self._controller = controller
        self._ticket = ticket

    @property
    def generation(self) -> int:
        """The generation of the breaker that admitted the call; its outcome can change no other one."""
        return self._ticket.generation

    @property
    def settled(self) -> bool:
        """Whether the outcome is known."""
        return self._ticket.settled

    def success(self) -> bool:
        """The call succeeded (slow, if it took that long). True if this settled the permit."""
        return self._controller.settle(self._ticket, SUCCESS)

    def failure(self, exc: BaseException | None = None) -> bool:
        """The call failed; `exc` is described in `last_failure` and not kept. True if this settled the permit."""
        verdict = FAILURE if exc is None else Verdict(Outcome.FAILURE, failed=describe(exc))
        return self._controller.settle(self._ticket, verdict)

    def failure_described(self, text: str) -> bool:
        """The call failed, for a reason given as text. True if this settled the permit.

        Raises:
            TypeError: `text` is not text.
        """
        if not isinstance(text, str):
            raise TypeError(f"text={text!r}: must be the reason as text")
        return self._controller.settle(self._ticket, Verdict(Outcome.FAILURE, failed=text))

    def ignore(self) -> bool:
        """The call says nothing about the dependency. True if this settled the permit."""
        return self._controller.settle(self._ticket, IGNORED)

    def throttled(self, retry_after: float | None = None) -> bool:
        """The dependency asked us to wait `retry_after` seconds (None: it did not say how long).

        Returns:
            True if this settled the permit.

        Raises:
            ValueError: `retry_after` is negative or not finite.
        """
        if retry_after is not None and not 0 <= retry_after < float("inf"):
            raise ValueError(f"retry_after={retry_after!r}: must be a finite number of seconds, 0 or more, or None")
        return self._controller.settle(self._ticket, Verdict(Outcome.THROTTLED, retry_after))

    def settle(self, exc: BaseException | None = None, result: Any = None, *, otherwise: Verdict | None = None) -> bool:
        """Classify what the call raised or returned by the breaker's settings.

        Args:
            exc: What it raised, or None.
            result: What it returned.
            otherwise: The verdict when the settings' `classify`, `ignore`, `unreachable` and `failure_on_result` have
                nothing to say; it takes the place of `failure_on`. Whoever knows a client says with it what its words
                cannot: `permit.settle(otherwise=Verdict(Outcome.FAILURE, conclusive=False))` for a call that never got
                out, for example.

        Returns:
            True if this settled the permit.
        """
        if self._ticket.settled:
            return False
        settings = self._controller.settings
        if exc is None:
            verdict = classify_result(settings, result, otherwise or SUCCESS)
        else:
            verdict = classify_exception(settings, exc, otherwise)
        return self._controller.settle(self._ticket, verdict)

    def drop(self, verdict: Verdict) -> None:
        """Settle from within a finaliser, which must not wait for the breaker's lock."""
        if not self._ticket.settled:
            self._controller.abandon(self._ticket, verdict)

    def mark_first_item(self) -> None:
        """The first item of a stream has come: the time until now is the call's duration. Later marks do nothing."""
        if self._ticket.latency is None:
            self._ticket.latency = max(0.0, self._controller.now() - self._ticket.started)

    @overload
    def guard_stream(
        self,
        stream: AsyncIterable[T],
        *,
        terminal: Callable[[T], bool] | None = None,
        failure: Callable[[T], bool] | None = None,
    ) -> AsyncIterator[T]: ...

    @overload
    def guard_stream(
        self,
        stream: Iterable[T],
        *,
        terminal: Callable[[T], bool] | None = None,
        failure: Callable[[T], bool] | None = None,
    ) -> Iterator[T]: ...

    def guard_stream(
        self,
        stream: Any,
        *,
        terminal: Callable[[Any], bool] | None = None,
        failure: Callable[[Any], bool] | None = None,
    ) -> Any:
        """Pass a response stream through unchanged and settle the permit when it ends.

        Args:
            stream: An iterable or async iterable; it is closed when the guard is.
            terminal: Predicate that recognises the item that ends a complete stream. With it, a stream that ends
                without that item failed.
            failure: Predicate that recognises an item that reports an error.

        The permit is held until the end, or until the terminal item. An error in the stream is classified as usual;
        closing early is ignored. Don't return a guarded stream from inside `with permit:`, which settles at its end.
        """
        from recloser.streams import guard_stream

        return guard_stream(self, stream, terminal, failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.settle(exc)

    def __repr__(self) -> str:
        state = "settled" if self._ticket.settled else "in flight"
        return f"<Permit of {self._controller.name!r}, generation {self._ticket.generation}, {state}>"

    def __del__(self) -> None:
        if not self._ticket.settled:
            self._controller.abandon(self._ticket)

    def __copy__(self) -> Permit:
        raise TypeError("a Permit stands for one call and cannot be copied")

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Permit stands for one call in this process and cannot be pickled")


def take_permit(controller: Controller) -> Permit:
    """A permit for one call.

    Raises:
        CircuitOpenError: The call is rejected.
    """
    return Permit(controller, controller.admit())


def hot_permit(controller: Controller, generation: int, started: float, latency: float | None = None) -> Permit:
    """The permit of a call that was admitted on the hot path and turns out to need one.

    `latency` is the time to the first item of a stream, in seconds.
    """
    return Permit(controller, hot_ticket(generation, started, latency))
