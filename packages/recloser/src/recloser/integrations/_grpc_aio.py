"""Interceptors for the channels of `grpc.aio`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Unpack

import grpc.aio

from recloser.errors import CircuitOpenError
from recloser.integrations._grpc import CircuitOpenRpcError, Policy, Rpc, asking
from recloser.integrations._http import Exchange, reasons_of
from recloser.integrations.options import Options
from recloser.outcomes import SUCCESS


class CircuitOpenAioRpcError(CircuitOpenRpcError, grpc.aio.AioRpcError):
    """A call of an async channel was rejected without being sent."""

    def initial_metadata(self) -> Any:
        """Nothing: no server has answered."""
        return grpc.aio.Metadata()

    def trailing_metadata(self) -> Any:
        """`retry-after` in seconds, if it is known when a call may be admitted."""
        return grpc.aio.Metadata(*super().trailing_metadata())


def aio_interceptors(
    target: str, *, patience: float | None = None, **options: Unpack[Options[Rpc]]
) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors for `grpc.aio.insecure_channel(target, interceptors=...)` and its secure twin.

    They do for an async channel what `BreakerInterceptor` does for a sync one. There are four because gRPC takes an
    interceptor for one kind of call only.

    Args:
        target: See `BreakerInterceptor`.
        patience: See `BreakerInterceptor`.
        options: See `BreakerInterceptor`.

    Raises:
        SettingsError: The options contradict each other, or `patience` is not a number of seconds.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """
    return interceptors_of(Policy(target, patience, **options))


def interceptors_of(policy: Policy) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors that do what a policy decides."""
    return [kind(policy) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _Interceptor:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._watching: set[asyncio.Task[None]] = set()  # a loop holds its tasks only weakly

    def _begin(self, details: Any) -> Exchange | None:
        try:
            return self._policy.begin(details)
        except CircuitOpenError as error:
            raise CircuitOpenAioRpcError(*reasons_of(error)) from None

    async def _send(self, exchange: Exchange, continuation: Any, details: Any, request: Any) -> Any:
        try:
            with asking(details):
                return await continuation(details, request)
        except BaseException as exc:
            exchange.raised(exc)
            raise

    def _watch(self, watcher: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(watcher)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _unary_response(self, continuation: Any, details: Any, request: Any) -> Any:
        exchange = self._begin(details)
        if exchange is None:
            return await continuation(details, request)
        call = await self._send(exchange, continuation, details, request)
        # The caller may first have to write requests, for which it needs the call.
        self._watch(_response(call, exchange))
        return call

    async def _responses(self, continuation: Any, details: Any, request: Any) -> Any:
        exchange = self._begin(details)
        if exchange is None:
            return await continuation(details, request)
        call = await self._send(exchange, continuation, details, request)
        self._watch(_status(call, exchange))
        return _guarded(call, exchange)


class _UnaryUnary(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._unary_response(continuation, client_call_details, request)


class _StreamUnary(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._unary_response(continuation, client_call_details, request_iterator)


class _UnaryStream(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._responses(continuation, client_call_details, request)


class _StreamStream(_Interceptor, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._responses(continuation, client_call_details, request_iterator)


async def _response(call: Any, exchange: Exchange) -> None:
    """Settle when the one response has come. It starts to wait before the caller can, and so is told first."""
    try:
        response = await call
    except Exception as exc:  # noqa: BLE001 - the caller gets it from the call
        exchange.raised(exc)
    except BaseException as exc:
        exchange.raised(exc)
        raise
    else:
        exchange.answered(SUCCESS, response)


async def _status(call: Any, exchange: Exchange) -> None:
    """Settle when the call has ended, though nobody may be reading its responses."""
    try:
        code = await call.code()
        if code is grpc.StatusCode.OK:
            exchange.answered(SUCCESS)
        else:
            details, trailing = await call.details(), await call.trailing_metadata()
            exchange.raised(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details))
    except BaseException as exc:
        exchange.raised(exc)
        raise


async def _guarded(call: Any, exchange: Exchange) -> AsyncIterator[Any]:
    try:
        async for message in call:
            exchange.first_byte()
            yield message
    except GeneratorExit:
        exchange.closed()
        raise
    except BaseException as exc:
        exchange.raised(exc)
        raise
    exchange.ended()
