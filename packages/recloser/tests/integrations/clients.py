"""The real clients behind one face, so that one suite says what each of them must do."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import httpx
import httpx2
import requests

from recloser.integrations import aiohttp as recloser_aiohttp
from recloser.integrations import httpx as recloser_httpx
from recloser.integrations import httpx2 as recloser_httpx2
from recloser.integrations import requests as recloser_requests


class SyncClient:
    """A protected sync client.

    Attributes:
        error: What the client raises when the server or the way to it fails.
        protect: The integration under test.
    """

    error: type[Exception]
    protect: Callable[..., Any]

    def get(self, url: str, method: str = "GET") -> int:
        """Ask, read the body, return the status."""
        raise NotImplementedError

    def stream(self, url: str) -> AbstractContextManager[Iterator[bytes]]:
        """The chunks of the body as they come."""
        raise NotImplementedError

    def close(self) -> None:
        """End it."""
        raise NotImplementedError


class AsyncClient:
    """A protected async client; see `SyncClient`."""

    error: type[Exception]
    protect: Callable[..., Any]

    async def get(self, url: str, method: str = "GET") -> int:
        """Ask, read the body, return the status."""
        raise NotImplementedError

    def stream(self, url: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The chunks of the body as they come."""
        raise NotImplementedError

    async def close(self) -> None:
        """End it."""
        raise NotImplementedError


class HttpxSync(SyncClient):
    lib: Any = httpx
    error = httpx.TransportError
    protect = staticmethod(recloser_httpx.protect)

    def __init__(self, timeout: float, **options: Any) -> None:
        self.client = self.protect(self.lib.Client(timeout=timeout, trust_env=False), **options)

    def get(self, url: str, method: str = "GET") -> int:
        return self.client.request(method, url).status_code

    @contextmanager
    def stream(self, url: str) -> Iterator[Iterator[bytes]]:
        with self.client.stream("GET", url) as response:
            yield response.iter_bytes()

    def close(self) -> None:
        self.client.close()


class HttpxAsync(AsyncClient):
    lib: Any = httpx
    error = httpx.TransportError
    protect = staticmethod(recloser_httpx.protect)

    def __init__(self, timeout: float, **options: Any) -> None:
        self.client = self.protect(self.lib.AsyncClient(timeout=timeout, trust_env=False), **options)

    async def get(self, url: str, method: str = "GET") -> int:
        return (await self.client.request(method, url)).status_code

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self.client.stream("GET", url) as response:
            yield response.aiter_bytes()

    async def close(self) -> None:
        await self.client.aclose()


class Httpx2Sync(HttpxSync):
    lib = httpx2
    error = httpx2.TransportError
    protect = staticmethod(recloser_httpx2.protect)


class Httpx2Async(HttpxAsync):
    lib = httpx2
    error = httpx2.TransportError
    protect = staticmethod(recloser_httpx2.protect)


class Requests(SyncClient):
    error = requests.RequestException
    protect = staticmethod(recloser_requests.protect)

    def __init__(self, timeout: float, **options: Any) -> None:
        self.timeout = timeout
        self.session = self.protect(requests.Session(), **options)
        self.session.trust_env = False

    def get(self, url: str, method: str = "GET") -> int:
        return self.session.request(method, url, timeout=self.timeout).status_code

    @contextmanager
    def stream(self, url: str) -> Iterator[Iterator[bytes]]:
        with self.session.get(url, stream=True, timeout=self.timeout) as response:
            yield response.iter_content(chunk_size=None)

    def close(self) -> None:
        self.session.close()


class Aiohttp(AsyncClient):
    error = aiohttp.ClientError
    protect = staticmethod(recloser_aiohttp.protect)

    def __init__(self, timeout: float, **options: Any) -> None:
        limits = aiohttp.ClientTimeout(sock_connect=timeout, sock_read=timeout)
        self.session = self.protect(aiohttp.ClientSession(timeout=limits), **options)

    async def get(self, url: str, method: str = "GET") -> int:
        async with self.session.request(method, url) as response:
            await response.read()
            return response.status

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self.session.get(url) as response:
            yield response.content.iter_any()

    async def close(self) -> None:
        await self.session.close()


SYNC = [HttpxSync, Httpx2Sync, Requests]
ASYNC = [HttpxAsync, Httpx2Async, Aiohttp]
