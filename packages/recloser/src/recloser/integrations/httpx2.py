"""Circuit breakers for httpx2: `protect(client)`, or a transport of your own. Needs `recloser[httpx2]`."""

from __future__ import annotations

from typing import Any, TypeVar, Unpack

import httpx2

from recloser.errors import CircuitOpenError
from recloser.integrations import _httpx as common
from recloser.integrations.options import Options

__all__ = ["AsyncBreakerTransport", "BreakerTransport", "CircuitOpenTransportError", "protect", "unprotect"]

C = TypeVar("C", bound=httpx2.Client | httpx2.AsyncClient)


class CircuitOpenTransportError(CircuitOpenError, httpx2.TransportError):
    """A request was rejected without being sent; code that handles the client's own errors handles this one, too."""

    _request: httpx2.Request | None = None


class BreakerTransport(common.SyncTransport, httpx2.BaseTransport):
    __doc__ = common.Transport.__doc__
    names = common.names_of(httpx2, CircuitOpenTransportError)


class AsyncBreakerTransport(common.AsyncTransport, httpx2.AsyncBaseTransport):
    __doc__ = common.Transport.__doc__
    names = BreakerTransport.names


def protect(client: C, **options: Unpack[Options[Any]]) -> C:
    """Put a client behind circuit breakers, one per host; see `recloser.integrations._httpx.protect_client`."""
    return common.protect_client(client, BreakerTransport, AsyncBreakerTransport, options)


def unprotect(client: C) -> C:
    """Undo `protect`; see `recloser.integrations._httpx.unprotect`."""
    return common.unprotect(client)
