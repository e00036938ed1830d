"""Interceptors for `grpc.intercept_channel`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any, Unpack

import grpc

from recloser.errors import CircuitOpenError
from recloser.integrations._grpc import CircuitOpenRpcError, Policy, Rpc, asking
from recloser.integrations._http import Exchange, reasons_of
from recloser.integrations.options import Options
from recloser.outcomes import SUCCESS


class PolicyInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Does what a policy decides."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """One request, one response."""
        return self._send(continuation, client_call_details, request)[0]

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Many requests, one response."""
        return self._send(continuation, client_call_details, request_iterator)[0]

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """One request, many responses."""
        return _guarded(*self._send(continuation, client_call_details, request))

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Many requests, many responses."""
        return _guarded(*self._send(continuation, client_call_details, request_iterator))

    def _send(self, continuation: Callable[..., Any], details: Any, request: Any) -> tuple[Any, Exchange | None]:
        try:
            exchange = self._policy.begin(details)
        except CircuitOpenError as error:
            return RejectedCall(*reasons_of(error)), None
        if exchange is None:
            return continuation(details, request), None
        try:
            with asking(details):
                call = continuation(details, request)
        except BaseException as exc:
            exchange.raised(exc)
            raise
        if isinstance(call, grpc.Future):
            _watch(call, exchange)
        elif isinstance(call, BaseException):  # another interceptor has put an error of its own in the place of a call
            exchange.raised(call)
        return call, exchange


class BreakerInterceptor(PolicyInterceptor):
    """Sends nothing while the breaker of a service is open; for `grpc.intercept_channel`.

    A stream of responses belongs to its call: the time to the first message is the latency, the outcome is known when
    the stream has ended, and cancelling it or dropping it is ignored. Retries that gRPC makes itself are one call.

    Args:
        target: That of the channel: the breakers are called after it and the service.
        patience: Seconds. A call whose own deadline is shorter and passes says nothing about the server; None takes
            every deadline for a fair one.
        options: See `recloser.integrations.options.Options`; a `key` function is given an `Rpc`.

    Raises:
        SettingsError: The options contradict each other, or `patience` is not a number of seconds.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """

    def __init__(self, target: str, *, patience: float | None = None, **options: Unpack[Options[Rpc]]) -> None:
        super().__init__(Policy(target, patience, **options))


def protect(
    channel: grpc.Channel, target: str, *, patience: float | None = None, **options: Unpack[Options[Rpc]]
) -> grpc.Channel:
    """The channel behind circuit breakers, one per service.

    Args:
        channel: Any channel; it stays as it is.
        target: That of the channel.
        patience: See `BreakerInterceptor`.
        options: See `BreakerInterceptor`.

    Returns:
        The channel to use.

    Raises:
        SettingsError: The options contradict each other, or `patience` is not a number of seconds.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """
    interceptor = BreakerInterceptor(target, patience=patience, **options)
    protected: grpc.Channel = grpc.intercept_channel(channel, interceptor)
    return protected


class RejectedCall(CircuitOpenRpcError, grpc.Call, grpc.Future):  # type: ignore[type-arg]
    """What stands in for a rejected call: it is done, and raises itself from wherever gRPC raises its errors."""

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Any:
        return None

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return False  # as of a call that has ended

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def running(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> Any:
        raise self

    def exception(self, timeout: float | None = None) -> Exception:
        return self

    def traceback(self, timeout: float | None = None) -> Any:
        return self.__traceback__

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        fn(self)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        raise self


def _watch(call: Any, exchange: Exchange) -> None:
    """Settle the exchange when the call has ended, or now if it has."""
    if not call.done():
        # gRPC cancels a call that nobody holds any more, so it must not be held here.
        reference = weakref.ref(call)

        def ended() -> None:
            call = reference()
            if call is None:
                exchange.closed()
            else:
                _conclude(call, exchange)

        if call.add_callback(ended):
            return
    _conclude(call, exchange)


def _conclude(call: Any, exchange: Exchange) -> None:
    if call.cancelled():
        exchange.closed()
        return
    exc = call.exception()
    if exc is None:
        exchange.answered(SUCCESS, call.result())
    else:
        exchange.raised(exc)


def _guarded(call: Any, exchange: Exchange | None) -> Any:
    return call if exchange is None else _GuardedResponses(call, exchange)


class _GuardedResponses(grpc.Call):
    """The call inside, whose messages and end are told to the exchange as they pass."""

    def __init__(self, call: Any, exchange: Exchange) -> None:
        self._call = call
        self._exchange = exchange

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            message = next(self._call)
        except StopIteration:
            self._exchange.ended()
            raise
        except BaseException as exc:
            self._exchange.raised(exc)
            raise
        self._exchange.first_byte()
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    # What the base class has for itself is not looked for by __getattr__.

    def is_active(self) -> Any:
        return self._call.is_active()

    def time_remaining(self) -> Any:
        return self._call.time_remaining()

    def cancel(self) -> Any:
        return self._call.cancel()

    def add_callback(self, callback: Callable[[], None]) -> Any:
        return self._call.add_callback(callback)

    def initial_metadata(self) -> Any:
        return self._call.initial_metadata()

    def trailing_metadata(self) -> Any:
        return self._call.trailing_metadata()

    def code(self) -> Any:
        return self._call.code()

    def details(self) -> Any:
        return self._call.details()
