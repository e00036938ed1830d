"""Circuit breakers for aiohttp: `protect(session)`, or a client middleware of your own. Needs `recloser[aiohttp]`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Unpack

import aiohttp

from recloser.errors import CircuitOpenError
from recloser.integrations._http import (
    UNREACHABLE,
    Breakers,
    ExceptionTable,
    Exchange,
    has_no_body,
    host_key,
    reasons_of,
    verdict_on_status,
)
from recloser.integrations.options import Options
from recloser.outcomes import Outcome, Verdict

__all__ = ["BreakerMiddleware", "CircuitOpenConnectionError", "protect", "unprotect"]

_EXCEPTIONS = ExceptionTable(
    local=(aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError),
    failing=(aiohttp.ClientError, asyncio.TimeoutError),
)


class _Queue:
    """Whether a request waits for a connection of a full pool, which is no fault of the server."""

    def __init__(self) -> None:
        self.waiting = False

    def judge(self, exc: BaseException) -> Verdict:
        """The verdict on an exception of the request."""
        if self.waiting and isinstance(exc, asyncio.TimeoutError):
            return UNREACHABLE
        return _EXCEPTIONS.judge(exc)


_queue: ContextVar[_Queue | None] = ContextVar("recloser_aiohttp_queue", default=None)


async def _queued(*_: object) -> None:
    if (queue := _queue.get()) is not None:
        queue.waiting = True


async def _dequeued(*_: object) -> None:
    if (queue := _queue.get()) is not None:
        queue.waiting = False


class CircuitOpenConnectionError(CircuitOpenError, aiohttp.ClientConnectionError):
    """A request was rejected without being sent; code that handles the client's own errors handles this one, too."""


class BreakerMiddleware:
    """A client middleware that sends nothing while the breaker of the host is open.

    The body belongs to the call: its outcome is known when the body has come or has failed, and closing it early is
    ignored. As the last of several middlewares it sees each request as it is sent.

    Args:
        options: See `recloser.integrations.options.Options`.

    Attributes:
        trace_config: For the session's `trace_configs`. With it, a timeout of a request that still waits for a
            connection of a full pool is told from one of the server.

    Raises:
        SettingsError: The options contradict each other.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """

    def __init__(self, **options: Unpack[Options[aiohttp.ClientRequest]]) -> None:
        self._breakers = Breakers(host_of, **options)
        self.trace_config = aiohttp.TraceConfig()
        self.trace_config.on_connection_queued_start.append(_queued)
        self.trace_config.on_connection_queued_end.append(_dequeued)

    async def __call__(
        self,
        request: aiohttp.ClientRequest,
        handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        """Send the request if its breaker lets it.

        Raises:
            CircuitOpenConnectionError: It does not.
        """
        queue = _Queue()
        try:
            exchange = self._breakers.begin(request, queue.judge)
        except CircuitOpenError as error:
            raise CircuitOpenConnectionError(*reasons_of(error)) from None
        token = _queue.set(queue)
        try:
            # The session's total timeout cancels the task; only its timer can tell that from a real cancellation.
            with _timer_of(request):
                response = await handler(request)
        except BaseException as exc:
            exchange.raised(exc)
            raise
        finally:
            _queue.reset(token)
        _answered(exchange, request, response)
        return response


def protect(session: aiohttp.ClientSession, **options: Unpack[Options[aiohttp.ClientRequest]]) -> aiohttp.ClientSession:
    """Put a session behind circuit breakers, one per host; the session itself is changed and returned.

    Failures are errors and timeouts of the connection, 408, 500, 502, 503, 504, 520 to 529, and a body that breaks
    off. 429, and 503 with Retry-After, open the circuit for the time asked. A request that is given middlewares of
    its own goes past the session's, and so past the breaker.

    Args:
        session: Any `aiohttp.ClientSession`.
        options: See `BreakerMiddleware`.

    Raises:
        ValueError: It is protected already.
        SettingsError: The options contradict each other.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """
    inside: Any = session
    if any(isinstance(middleware, BreakerMiddleware) for middleware in inside._middlewares):
        raise ValueError(f"{session!r} is protected already")
    middleware = BreakerMiddleware(**options)
    middleware.trace_config.freeze()
    session.trace_configs.append(middleware.trace_config)
    # aiohttp deprecates new attributes on a session; this one it has, and reads at each request.
    inside._middlewares = (*inside._middlewares, middleware)
    return session


def unprotect(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Undo `protect`: requests that begin from now on ask no breaker; the session is changed and returned.

    Raises:
        ValueError: It is not protected.
    """
    inside: Any = session
    kept = tuple(each for each in inside._middlewares if not isinstance(each, BreakerMiddleware))
    if len(kept) == len(inside._middlewares):
        raise ValueError(f"{session!r} is not protected")
    for middleware in inside._middlewares:
        if isinstance(middleware, BreakerMiddleware) and middleware.trace_config in session.trace_configs:
            session.trace_configs.remove(middleware.trace_config)
    inside._middlewares = kept
    return session


def host_of(request: aiohttp.ClientRequest) -> str:
    """The default key of a request."""
    return host_key(request.url.scheme, request.url.host, request.url.port)


def _timer_of(request: Any) -> Any:
    return getattr(request, "_timer", None) or request.timer  # the public name until 3.13


def _answered(exchange: Exchange, request: aiohttp.ClientRequest, response: aiohttp.ClientResponse) -> None:
    exchange.first_byte()
    verdict = verdict_on_status(response.status, response.headers, time.time())
    if verdict.outcome is not Outcome.SUCCESS or has_no_body(request.method, response.status, response.headers):
        exchange.answered(verdict, response)
        return
    exchange.expect_body(response)
    content = response.content
    content.on_eof(exchange.ended)  # at once, if all of the body is here
    if not exchange.settled:
        guarded: Any = _GuardedReader(content, exchange)
        response.content = guarded


class _GuardedReader:
    """The body of a response: the reader inside, whose errors and early end are told to the exchange."""

    def __init__(self, reader: aiohttp.StreamReader, exchange: Exchange) -> None:
        self._reader = reader
        self._exchange = exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def set_exception(self, *args: Any) -> None:
        self._exchange.closed()  # the response is released: what a broken connection sets, it sets on the reader
        self._reader.set_exception(*args)

    # aiohttp's own iterators call these methods of the reader itself, and so would go past this one.

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _until_empty(self.readline)

    def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        return _until_empty(lambda: self.read(n))

    def iter_any(self) -> AsyncIterator[bytes]:
        return _until_empty(self.readany)

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        while (chunk := await self.readchunk()) != (b"", False):
            yield chunk

    async def _telling(self, reading: Awaitable[Any]) -> Any:
        try:
            return await reading
        except BaseException as exc:
            self._exchange.raised(exc)
            raise

    async def read(self, n: int = -1) -> bytes:
        data: bytes = await self._telling(self._reader.read(n))
        return data

    async def readany(self) -> bytes:
        data: bytes = await self._telling(self._reader.readany())
        return data

    async def readline(self, **limits: Any) -> bytes:
        data: bytes = await self._telling(self._reader.readline(**limits))
        return data

    async def readuntil(self, separator: bytes = b"\n", **limits: Any) -> bytes:
        data: bytes = await self._telling(self._reader.readuntil(separator, **limits))
        return data

    async def readexactly(self, n: int) -> bytes:
        data: bytes = await self._telling(self._reader.readexactly(n))
        return data

    async def readchunk(self) -> tuple[bytes, bool]:
        data: tuple[bytes, bool] = await self._telling(self._reader.readchunk())
        return data


async def _until_empty(read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    while data := await read():
        yield data
