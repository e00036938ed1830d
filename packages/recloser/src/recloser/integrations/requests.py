"""Circuit breakers for requests: `protect(session)`, or an adapter of your own. Needs `recloser[requests]`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, Unpack

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util import parse_url
from urllib3.util.response import is_fp_closed

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
from recloser.outcomes import Outcome

__all__ = ["BreakerAdapter", "CircuitOpenConnectionError", "protect", "unprotect"]

S = TypeVar("S", bound=requests.Session)

_EXCEPTIONS = ExceptionTable(
    local=(
        urllib3.exceptions.EmptyPoolError,
        urllib3.exceptions.ClosedPoolError,
        urllib3.exceptions.LocationValueError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidHeader,
        requests.exceptions.InvalidProxyURL,
    ),
    failing=(requests.RequestException, urllib3.exceptions.HTTPError),
)


class CircuitOpenConnectionError(CircuitOpenError, requests.ConnectionError):
    """A request was rejected without being sent; code that handles the client's own errors handles this one, too."""

    def __init__(
        self,
        breaker: str,
        state: str,
        retry_after: float | None = None,
        last_failure: str | None = None,
        reason: str = "open",
    ) -> None:
        super().__init__(breaker, state, retry_after, last_failure, reason)
        self.response = None
        self.request: requests.PreparedRequest | None = None
        self.errno = self.strerror = None  # else OSError takes the first two arguments for them


class BreakerAdapter(BaseAdapter):
    """An adapter that sends nothing while the breaker of the host is open.

    The body belongs to the call: its outcome is known when the body has been read or has failed, and closing it early
    is ignored. Retries of the adapter inside are one call.

    Args:
        adapter: What sends the requests; default: `requests.adapters.HTTPAdapter()`.
        options: See `recloser.integrations.options.Options`.

    Raises:
        SettingsError: The options contradict each other.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """

    def __init__(
        self, adapter: BaseAdapter | None = None, **options: Unpack[Options[requests.PreparedRequest]]
    ) -> None:
        super().__init__()
        self._adapter = adapter or HTTPAdapter()
        self._breakers = Breakers(host_of, **options)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send the request if its breaker lets it.

        Raises:
            CircuitOpenConnectionError: It does not.
        """
        return send(self._breakers, request, lambda: self._adapter.send(request, *args, **kwargs))

    @property
    def inner(self) -> BaseAdapter:
        """The adapter inside."""
        return self._adapter

    def close(self) -> None:
        """Close the adapter inside."""
        self._adapter.close()


def protect(session: S, **options: Unpack[Options[requests.PreparedRequest]]) -> S:
    """Put every adapter of a session behind circuit breakers, one per host; the session is changed and returned.

    Failures are errors and timeouts of the connection, 408, 500, 502, 503, 504, 520 to 529, and a body that breaks
    off. 429, and 503 with Retry-After, open the circuit for the time asked.

    Args:
        session: Any `requests.Session`.
        options: See `BreakerAdapter`.

    Raises:
        ValueError: It is protected already.
        SettingsError: The options contradict each other.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """
    if any(isinstance(adapter, BreakerAdapter) for adapter in session.adapters.values()):
        raise ValueError(f"{session!r} is protected already")
    for prefix, adapter in list(session.adapters.items()):
        session.mount(prefix, BreakerAdapter(adapter, **options))
    return session


def unprotect(session: S) -> S:
    """Undo `protect`: requests that begin from now on ask no breaker; the session is changed and returned.

    Raises:
        ValueError: It is not protected.
    """
    if not any(isinstance(adapter, BreakerAdapter) for adapter in session.adapters.values()):
        raise ValueError(f"{session!r} is not protected")
    for prefix, adapter in list(session.adapters.items()):
        if isinstance(adapter, BreakerAdapter):
            session.mount(prefix, adapter.inner)
    return session


def send(
    breakers: Breakers[requests.PreparedRequest],
    request: requests.PreparedRequest,
    sending: Callable[[], requests.Response],
) -> requests.Response:
    """Let `sending` send a request if its breaker lets it.

    Raises:
        CircuitOpenConnectionError: It does not.
    """
    try:
        exchange = breakers.begin(request, _EXCEPTIONS.judge)
    except CircuitOpenError as error:
        rejection = CircuitOpenConnectionError(*reasons_of(error))
        rejection.request = request
        raise rejection from None
    try:
        response = sending()
    except BaseException as exc:
        exchange.raised(exc)
        raise
    _answered(exchange, request, response)
    return response


def host_of(request: requests.PreparedRequest) -> str:
    """The default key of a request."""
    url = parse_url(request.url or "")
    return host_key(url.scheme or "", url.host, url.port)


def _answered(exchange: Exchange, request: requests.PreparedRequest, response: requests.Response) -> None:
    exchange.first_byte()
    verdict = verdict_on_status(response.status_code, response.headers, time.time())
    if verdict.outcome is not Outcome.SUCCESS or has_no_body(
        request.method or "", response.status_code, response.headers
    ):
        exchange.answered(verdict, response)
        return
    exchange.expect_body(response)
    raw: Any = response.raw
    kind: Any = type(raw)
    raw.__class__ = _guarded(kind)
    raw.recloser_exchange = exchange


class _Guarded:
    """The body of a response. Mixed into the class of `Response.raw`, which so stays what it is for everybody else."""

    recloser_exchange: Exchange
    recloser_reading = False
    _fp: Any

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        chunks: Iterator[bytes] = super().stream(*args, **kwargs)  # type: ignore[misc]
        while True:
            with self._reading():
                chunk = next(chunks, None)
            if chunk is None:
                break
            yield chunk
        self.recloser_exchange.ended()

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        with self._reading():
            data: bytes = super().read(*args, **kwargs)  # type: ignore[misc]
        if is_fp_closed(self._fp):  # urllib3 closes it with the last byte, and raises when bytes are missing
            self.recloser_exchange.ended()
        return data

    def close(self) -> None:
        if not self.recloser_reading:  # else urllib3 closes it because of an error, which it is about to raise
            self.recloser_exchange.closed()
        super().close()  # type: ignore[misc]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        outermost = not self.recloser_reading
        self.recloser_reading = True
        try:
            yield
        except BaseException as exc:
            self.recloser_exchange.raised(exc)
            raise
        finally:
            if outermost:
                self.recloser_reading = False


@functools.cache
def _guarded(kind: Any) -> type[Any]:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (_Guarded, kind), names)
