"""Transports for httpx and httpx2, which differ in their names only: everything but those names."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, Unpack

from recloser.errors import CircuitOpenError
from recloser.integrations._http import (
    Breakers,
    ExceptionTable,
    Exchange,
    has_no_body,
    host_key,
    reasons_of,
    verdict_on_status,
)
from recloser.integrations.options import Options
from recloser.outcomes import IGNORED, Outcome, Verdict, describe

C = TypeVar("C")


@dataclass(frozen=True)
class Names:
    """What httpx and httpx2 each call the same thing.

    Attributes:
        exceptions: What the client's exceptions mean.
        read_timeout: The exception of an answer that did not come in time.
        open_error: The rejection that is also an exception of the client.
        response: The response class.
        byte_stream: A stream of bytes at hand.
        decoding_error: The exception of a body that is not encoded as it says.
        sync_stream: The guarded stream of a sync response.
        async_stream: The guarded stream of an async response.
        sync_default: Makes the transport that sends when none is given.
        async_default: Makes its async twin.
    """

    exceptions: ExceptionTable
    read_timeout: type[Exception]
    open_error: type[CircuitOpenError]
    response: type[Any]
    byte_stream: type[Any]
    decoding_error: type[Exception]
    sync_stream: type[SyncStream]
    async_stream: type[AsyncStream]
    sync_default: Callable[[], Any]
    async_default: Callable[[], Any]


def names_of(module: Any, open_error: type[CircuitOpenError]) -> Names:
    """The names of a client, from its module and the rejection made for it."""
    return Names(
        exceptions=ExceptionTable(
            local=(module.PoolTimeout, module.LocalProtocolError, module.UnsupportedProtocol),
            failing=(module.TransportError,),
        ),
        read_timeout=module.ReadTimeout,
        open_error=open_error,
        response=module.Response,
        byte_stream=module.ByteStream,
        decoding_error=module.DecodingError,
        sync_stream=type("GuardedStream", (SyncStream, module.SyncByteStream), {}),
        async_stream=type("GuardedAsyncStream", (AsyncStream, module.AsyncByteStream), {}),
        sync_default=module.HTTPTransport,
        async_default=module.AsyncHTTPTransport,
    )


class Policy:
    """Decides about one client's requests: sync and async transports do only the I/O between its decisions.

    Args:
        names: Those of the client.
        breakers: Find the breaker of a request.
        patience: Our own read timeout in seconds. A request whose caller waits less than this and gives up says
            nothing about the server; None takes every timeout for the server's.
    """

    def __init__(self, names: Names, breakers: Breakers[Any], patience: float | None = None) -> None:
        self.names = names
        self.breakers = breakers
        self.patience = patience

    def begin(self, request: Any) -> Exchange:
        """Ask for leave.

        Raises:
            CircuitOpenError: The request is rejected.
        """
        return self.breakers.begin(request, lambda exc: self.judge(exc, request))

    def rejected(self, error: CircuitOpenError, request: Any) -> Any:
        """What stands in for the answer of a rejected request: here nothing does.

        Raises:
            CircuitOpenError: Always; it is an exception of the client as well.
        """
        raise self.names.open_error(*reasons_of(error)) from None

    def judge(self, exc: BaseException, request: Any) -> Verdict:
        """The verdict on an exception."""
        if isinstance(exc, self.names.read_timeout) and self.patience is not None:
            timeout = request.extensions.get("timeout", {}).get("read")
            if timeout is not None and timeout < self.patience:
                return IGNORED
        return self.names.exceptions.judge(exc)

    def answered(self, exchange: Exchange, request: Any, response: Any) -> bool:
        """The head of the answer has come; True when the whole body is needed to judge it, see `complete`."""
        exchange.first_byte()
        verdict = verdict_on_status(response.status_code, response.headers, time.time())
        if verdict.outcome is not Outcome.SUCCESS or has_no_body(
            request.method, response.status_code, response.headers
        ):
            exchange.answered(verdict, response)
        else:
            exchange.expect_body(response)
        return False

    def complete(self, exchange: Exchange, request: Any, response: Any, content: bytes) -> None:
        """The whole body has come; `content` is decoded."""
        exchange.ended()

    def replay(self, exchange: Exchange, request: Any, response: Any, raw: bytes) -> None:
        """Judge an answer by its whole body, then let the caller read that body as if it came from the network."""
        stream = self.names.byte_stream(raw)
        copy = self.names.response(response.status_code, headers=response.headers, stream=stream, request=request)
        try:
            content = copy.read()
        except self.names.decoding_error as exc:  # raised again when the caller reads
            exchange.answered(Verdict(Outcome.FAILURE, failed=describe(exc)))
        else:
            self.complete(exchange, request, response, content)
        response.stream = self.names.byte_stream(raw)


class SyncStream:
    """The body of a response, which belongs to the call."""

    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        try:
            for chunk in self._stream:
                exchange.see(chunk)
                yield chunk
        except GeneratorExit:
            exchange.closed()
            raise
        except BaseException as exc:
            exchange.raised(exc)
            raise
        exchange.ended()

    def close(self) -> None:
        """Give the connection back; before the end of the body the outcome is "ignored"."""
        self._exchange.closed()
        self._stream.close()


class AsyncStream:
    """The body of an async response, which belongs to the call."""

    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        exchange = self._exchange
        try:
            async for chunk in self._stream:
                exchange.see(chunk)
                yield chunk
        except GeneratorExit:
            exchange.closed()
            raise
        except BaseException as exc:
            exchange.raised(exc)
            raise
        exchange.ended()

    async def aclose(self) -> None:
        """Give the connection back; before the end of the body the outcome is "ignored"."""
        self._exchange.closed()
        await self._stream.aclose()


class Transport:
    """A transport that sends nothing while the breaker of the host is open.

    The response stream belongs to the call: the outcome is known when the body has been read or has failed, and
    closing it early is ignored.

    Args:
        transport: What sends the requests; default: the client's own kind.
        patience: Seconds; a read timeout of a request whose own is shorter is ignored. None: no timeout is.
        options: See `recloser.integrations.options.Options`.

    Raises:
        SettingsError: The options contradict each other.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """

    names: ClassVar[Names]
    _default: ClassVar[str]
    _transport: Any
    _policy: Policy

    def __init__(
        self, transport: Any = None, *, patience: float | None = None, **options: Unpack[Options[Any]]
    ) -> None:
        self._transport = getattr(self.names, self._default)() if transport is None else transport
        self._policy = make_policy(self.names, patience, **options)

    @property
    def inner(self) -> Any:
        """The transport inside."""
        return self._transport

    @classmethod
    def around(cls, transport: Any, policy: Policy) -> Self:
        """A transport around another one that shares its policy with others."""
        made = cls.__new__(cls)
        made._transport = transport
        made._policy = policy
        return made


class SyncTransport(Transport):
    """A transport around another one."""

    _default = "sync_default"

    def handle_request(self, request: Any) -> Any:
        """Send the request if its breaker lets it."""
        policy = self._policy
        try:
            exchange = policy.begin(request)
        except CircuitOpenError as error:
            return policy.rejected(error, request)
        try:
            response = self._transport.handle_request(request)
        except BaseException as exc:
            exchange.raised(exc)
            raise
        if policy.answered(exchange, request, response):
            policy.replay(exchange, request, response, _read(response.stream, exchange))
        else:
            response.stream = policy.names.sync_stream(response.stream, exchange)
        return response

    def close(self) -> None:
        """Close the transport inside."""
        self._transport.close()


class AsyncTransport(Transport):
    """An async transport around another one."""

    _default = "async_default"

    async def handle_async_request(self, request: Any) -> Any:
        """Send the request if its breaker lets it."""
        policy = self._policy
        try:
            exchange = policy.begin(request)
        except CircuitOpenError as error:
            return policy.rejected(error, request)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as exc:
            exchange.raised(exc)
            raise
        if policy.answered(exchange, request, response):
            policy.replay(exchange, request, response, await _read_async(response.stream, exchange))
        else:
            response.stream = policy.names.async_stream(response.stream, exchange)
        return response

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._transport.aclose()


def _read(stream: Any, exchange: Exchange) -> bytes:
    try:
        return b"".join(stream)
    except BaseException as exc:
        exchange.raised(exc)
        raise
    finally:
        stream.close()


async def _read_async(stream: Any, exchange: Exchange) -> bytes:
    try:
        return b"".join([chunk async for chunk in stream])
    except BaseException as exc:
        exchange.raised(exc)
        raise
    finally:
        await stream.aclose()


def host_of(request: Any) -> str:
    """The default key of a request."""
    return host_key(request.url.scheme, request.url.host, request.url.port)


def make_policy(names: Names, patience: float | None = None, **options: Unpack[Options[Any]]) -> Policy:
    """The policy of plain HTTP."""
    return Policy(names, Breakers(host_of, **options), patience)


def protect(client: C, policy: Policy, sync: type[SyncTransport], asynchronous: type[AsyncTransport]) -> C:
    """Put every transport of a client, those of proxies included, behind a policy.

    Raises:
        ValueError: It is protected already.
    """
    inside: Any = client
    if isinstance(inside._transport, Transport):
        raise ValueError(f"{client!r} is protected already")
    around = asynchronous.around if hasattr(client, "aclose") else sync.around
    inside._mounts = {at: None if inner is None else around(inner, policy) for at, inner in inside._mounts.items()}
    inside._transport = around(inside._transport, policy)
    return client


def unprotect(client: C) -> C:
    """Undo `protect`: requests that begin from now on ask no breaker; the client itself is changed and returned.

    Raises:
        ValueError: It is not protected.
    """
    inside: Any = client
    if not isinstance(inside._transport, Transport):
        raise ValueError(f"{client!r} is not protected")
    inside._mounts = {at: _inner_of(mounted) for at, mounted in inside._mounts.items()}
    inside._transport = _inner_of(inside._transport)
    return client


def _inner_of(transport: Any) -> Any:
    return transport.inner if isinstance(transport, Transport) else transport


def protect_client(
    client: C, sync: type[SyncTransport], asynchronous: type[AsyncTransport], options: Options[Any]
) -> C:
    """Put a client behind circuit breakers, one per host; the client itself is changed and returned.

    Failures are errors and timeouts of the connection, 408, 500, 502, 503, 504, 520 to 529, and a body that breaks
    off. 429, and 503 with Retry-After, open the circuit for the time asked. A read timeout shorter than the
    client's own belongs to an impatient caller and is ignored.

    Args:
        client: A client or async client, before its first request.
        sync: What wraps its transports.
        asynchronous: What wraps its transports when it is async.
        options: See `recloser.integrations.options.Options`.

    Raises:
        ValueError: It is protected already.
        SettingsError: The options contradict each other.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """
    policy = make_policy(sync.names, read_timeout_of(client), **options)
    return protect(client, policy, sync, asynchronous)


def read_timeout_of(client: Any) -> float | None:
    """The client's own read timeout in seconds; requests with a shorter one belong to impatient callers."""
    seconds: float | None = client.timeout.read
    return seconds
