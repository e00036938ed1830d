"""What only aiohttp has: middlewares, a reader with many ways to read, a total timeout, cancellation."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from packages.recloser.tests.integrations.raw_server import END, HANG, RawServer, answer, chunk, chunked_head

from recloser import CircuitBreaker, Registry, State
from recloser.integrations.aiohttp import BreakerMiddleware, CircuitOpenConnectionError, protect
from recloser.testing import FakeClock


def only(registry: Registry) -> CircuitBreaker:
    [breaker] = registry
    return breaker


@pytest.fixture
async def session(registry: Registry) -> AsyncIterator[aiohttp.ClientSession]:
    async with protect(aiohttp.ClientSession(), registry=registry) as session:
        yield session


async def iterated(items: Any) -> list[Any]:
    return [item async for item in items]


async def joined(chunks: Any) -> bytes:
    return b"".join([data async for data, _ in chunks])


WAYS: dict[str, tuple[Callable[[Any], Awaitable[Any]], Any]] = {
    "read": (lambda content: content.read(), b"one\ntwo\n"),
    "readexactly": (lambda content: content.readexactly(8), b"one\ntwo\n"),
    "lines": (iterated, [b"one\n", b"two\n"]),
    "iter_chunked": (lambda content: iterated(content.iter_chunked(100)), [b"one\n", b"two\n"]),
    "iter_chunks": (lambda content: joined(content.iter_chunks()), b"one\ntwo\n"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_read_a_body(
    session: aiohttp.ClientSession, server: RawServer, registry: Registry, way: str
) -> None:
    read, expected = WAYS[way]
    loop = asyncio.get_running_loop()
    gate = loop.create_future()

    def wait() -> None:
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(asyncio.shield(gate), 10), loop).result()

    server.otherwise = [chunked_head(), chunk(b"one\n"), wait, chunk(b"two\n") + END]
    async with session.get(server.url) as response:
        reading = asyncio.ensure_future(read(response.content))
        await asyncio.sleep(0)
        assert only(registry).stats().in_flight == 1
        gate.set_result(None)
        assert await reading == expected
    assert only(registry).stats().calls["success"] == 1


@pytest.mark.parametrize(
    "reply", [pytest.param([HANG], id="no answer"), pytest.param([answer(body=b"p", length=9), HANG], id="stall")]
)
async def test_total_timeout_is_a_failure(server: RawServer, registry: Registry, reply: Any) -> None:
    server.otherwise = reply
    timeout = aiohttp.ClientTimeout(total=0.1)
    async with protect(aiohttp.ClientSession(timeout=timeout), registry=registry) as session:
        with pytest.raises(TimeoutError):
            async with session.get(server.url) as response:
                await response.read()
    assert only(registry).stats().failed == 1


LIMITS = [
    pytest.param(aiohttp.ClientTimeout(connect=0.05), id="connect"),
    pytest.param(aiohttp.ClientTimeout(total=0.05), id="total"),
]


@pytest.mark.parametrize("timeout", LIMITS)
@pytest.mark.parametrize("own", [False, True], ids=["protect", "a middleware of one's own"])
async def test_full_pool_does_not_decide_in_half_open(
    server: RawServer, registry: Registry, clock: FakeClock, timeout: aiohttp.ClientTimeout, own: bool
) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    if own:
        breakers = BreakerMiddleware(registry=registry)
        made = aiohttp.ClientSession(connector=connector, middlewares=[breakers], trace_configs=[breakers.trace_config])
    else:
        made = protect(aiohttp.ClientSession(connector=connector), registry=registry)
    async with made as session:
        server.replies = [[answer(500, connection="close")]] * 3  # an idle connection would be taken at once
        server.otherwise = [answer(body=b"x", length=9), HANG]
        for _ in range(3):
            async with session.get(server.url):
                pass
        clock.advance(10)
        async with session.get(f"http://localhost:{server.port}"):
            with pytest.raises(TimeoutError):
                await session.get(server.url, timeout=timeout)
    breaker = registry[f"http:127.0.0.1:{server.port}"]
    assert (breaker.state, breaker.stats().failed) == (State.HALF_OPEN, 4)
    assert breaker.retry_after == 0, "the slot is free for the next probe"


async def test_slow_server_behind_a_pool_that_was_full_is_a_failure(server: RawServer, registry: Registry) -> None:
    async with protect(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)), registry=registry) as session:
        server.replies = [[answer()]]
        server.otherwise = [HANG]
        first = await session.get(f"http://localhost:{server.port}")
        second = asyncio.ensure_future(session.get(server.url, timeout=aiohttp.ClientTimeout(total=0.3)))
        await asyncio.sleep(0)
        await first.read()
        with pytest.raises(TimeoutError):
            await second
    breaker = registry[f"http:127.0.0.1:{server.port}"]
    assert breaker.stats().failed == 1


async def test_cancelled_request_is_ignored(
    session: aiohttp.ClientSession, server: RawServer, registry: Registry
) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    server.otherwise = [lambda: loop.call_soon_threadsafe(asked.set), HANG]
    task = asyncio.ensure_future(session.get(server.url))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only(registry).stats().calls["ignored"] == 1
    assert only(registry).stats().in_flight == 0


async def test_middleware_of_ones_own(server: RawServer, registry: Registry) -> None:
    breakers = BreakerMiddleware(registry=registry)
    async with aiohttp.ClientSession(middlewares=[breakers]) as session, session.get(server.url) as response:
        assert await response.text() == "fine"
    assert only(registry).stats().successful == 1


async def test_second_protection_is_refused(session: aiohttp.ClientSession) -> None:
    with pytest.raises(ValueError, match="already"):
        protect(session)


def test_rejection_survives_pickling() -> None:
    error = CircuitOpenConnectionError("partner", "open", 3.0, "HTTP 500")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.retry_after) == (type(error), str(error), 3.0)
