"""What every async HTTP client does behind a breaker; `test_sync_clients.py` says the same of the sync ones."""

import socket
import threading
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

import pytest
from packages.recloser.tests.integrations.clients import ASYNC, AsyncClient
from packages.recloser.tests.integrations.raw_server import (
    CUT,
    END,
    HANG,
    RESET,
    RawServer,
    Reply,
    answer,
    chunked_head,
)
from packages.recloser.tests.integrations.raw_server import chunk as chunk_of
from packages.recloser.tests.support import listen, settings

from recloser import CircuitBreaker, CircuitOpenError, Outcome, Registry, State, StateChanged
from recloser.testing import FakeClock

Make = Callable[..., AsyncClient]


@pytest.fixture(params=ASYNC, ids=lambda kind: kind.__name__)
async def make(request: pytest.FixtureRequest, registry: Registry) -> AsyncIterator[Make]:
    """Makes protected clients."""
    made: list[AsyncClient] = []

    def make(*, timeout: float = 10, **options: Any) -> AsyncClient:
        made.append(request.param(timeout, **(options or {"registry": registry})))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
async def client(make: Make) -> AsyncClient:
    return make()


def only(registry: Registry) -> CircuitBreaker:
    """The one breaker there is."""
    [breaker] = registry
    return breaker


def outcomes(registry: Registry) -> dict[str, int]:
    """How calls ended, without the zeros."""
    return {status: count for status, count in only(registry).stats().calls.items() if count}


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 524, 529])
async def test_status_that_is_a_failure(
    client: AsyncClient, server: RawServer, registry: Registry, status: int
) -> None:
    server.otherwise = [answer(status)]
    assert await client.get(server.url) == status
    assert outcomes(registry) == {"failure": 1}
    assert only(registry).last_failure == f"HTTP {status}"


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 404, 409, 422, 501, 530])
async def test_status_that_is_a_success_of_the_transport(
    client: AsyncClient, server: RawServer, registry: Registry, status: int
) -> None:
    server.otherwise = [answer(status, b"" if status in (204, 304) else b"fine")]
    assert await client.get(server.url) == status
    assert outcomes(registry) == {"success": 1}


@pytest.mark.parametrize(
    ("status", "value", "open_for"),
    [(429, "7", 7), (429, None, 10), (503, "0.5", 0.5), (429, "soon", 10), (429, "90000", 3600)],
)
async def test_throttled_answer_opens_for_the_time_asked(
    client: AsyncClient, server: RawServer, registry: Registry, status: int, value: str | None, open_for: float
) -> None:
    """A default without Retry-After, and never beyond the cap."""
    headers = {} if value is None else {"retry_after": value}
    server.otherwise = [answer(status, **headers)]
    assert await client.get(server.url) == status
    assert outcomes(registry) == {"throttled": 1}
    assert only(registry).retry_after == open_for


async def test_retry_after_as_a_date_is_relative_to_the_date_of_the_answer(
    client: AsyncClient, server: RawServer, registry: Registry
) -> None:
    server.otherwise = [answer(429, date=formatdate(1_000, usegmt=True), retry_after=formatdate(1_042, usegmt=True))]
    await client.get(server.url)
    assert only(registry).retry_after == 42


async def test_open_circuit_sends_nothing(client: AsyncClient, server: RawServer, registry: Registry) -> None:
    server.otherwise = [answer(500)]
    for _ in range(3):
        await client.get(server.url)
    with pytest.raises(CircuitOpenError) as caught:
        await client.get(server.url)
    assert len(server.requests) == 3
    assert caught.value.retry_after == 10
    assert caught.value.last_failure == "HTTP 500"
    assert isinstance(caught.value, client.error), "code that handles the client's errors must handle this one"


async def test_probe_closes_it_again(
    client: AsyncClient, server: RawServer, registry: Registry, clock: FakeClock
) -> None:
    server.replies = [[answer(500)]] * 3
    for _ in range(3):
        await client.get(server.url)
    clock.advance(10)
    assert await client.get(server.url) == 200
    assert only(registry).state is State.CLOSED


async def test_refused_connections_open_it(client: AsyncClient, registry: Registry) -> None:
    """The client's own error reaches the caller."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for _ in range(3):
        with pytest.raises(client.error) as caught:
            await client.get(url)
        assert not isinstance(caught.value, CircuitOpenError)
    assert only(registry).state is State.OPEN
    assert type(caught.value).__name__ in str(only(registry).last_failure)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param([CUT], id="no answer"),
        pytest.param([RESET], id="reset"),
        pytest.param([b"HTTP/1.1 2"], id="half a head"),
        pytest.param([b"SSH-2.0-OpenSSH\r\n\r\n", CUT], id="another protocol"),
        pytest.param([answer(body=b"par", length=100), CUT], id="body cut"),
        pytest.param([answer(body=b"par", length=100), RESET], id="body reset"),
        pytest.param([chunked_head(), chunk_of(b"par"), CUT], id="chunks cut"),
    ],
)
async def test_broken_answer_is_a_failure(
    client: AsyncClient, server: RawServer, registry: Registry, reply: Reply
) -> None:
    server.otherwise = [*reply, CUT]
    with pytest.raises(client.error):
        await client.get(server.url)
    assert outcomes(registry) == {"failure": len(server.requests)}, "aiohttp may try twice"


@pytest.mark.parametrize(
    "reply", [pytest.param([HANG], id="no answer"), pytest.param([answer(body=b"p", length=9), HANG], id="stall")]
)
async def test_timeout_is_a_failure(make: Make, server: RawServer, registry: Registry, reply: Reply) -> None:
    client = make(timeout=0.1, registry=registry)
    server.otherwise = reply
    with pytest.raises(client.error):
        await client.get(server.url)
    assert outcomes(registry) == {"failure": 1}


async def test_stream_holds_its_permit_to_the_end(client: AsyncClient, server: RawServer, registry: Registry) -> None:
    gate = threading.Event()
    server.otherwise = [chunked_head(), chunk_of(b"one"), gate.wait, chunk_of(b"two"), END]
    async with client.stream(server.url) as chunks:
        assert only(registry).stats().in_flight == 1
        gate.set()
        assert b"".join([chunk async for chunk in chunks]) == b"onetwo"
        assert only(registry).stats().in_flight == 0
    assert outcomes(registry) == {"success": 1}


async def test_time_to_the_first_byte_is_the_latency(
    client: AsyncClient, server: RawServer, registry: Registry, clock: FakeClock
) -> None:
    server.otherwise = [lambda: clock.advance(2), chunked_head(), chunk_of(b"one"), END]
    async with client.stream(server.url) as chunks:
        clock.advance(60)
        assert [chunk async for chunk in chunks] == [b"one"]
    assert only(registry).stats().duration_sum == 2


async def test_stream_that_breaks_off_is_a_failure(client: AsyncClient, server: RawServer, registry: Registry) -> None:
    """What has come reaches the caller, then the client's own error."""
    server.otherwise = [chunked_head(), chunk_of(b"one"), CUT]
    seen = []
    with pytest.raises(client.error):
        async with client.stream(server.url) as chunks:
            seen.append(await anext(chunks))
            await anext(chunks)
    assert seen == [b"one"]
    assert outcomes(registry) == {"failure": 1}


async def test_stream_closed_early_is_ignored(client: AsyncClient, server: RawServer, registry: Registry) -> None:
    """A probe gives its slot back."""
    server.otherwise = [chunked_head(), chunk_of(b"one"), HANG]
    async with client.stream(server.url) as chunks:
        assert await anext(chunks) == b"one"
    assert outcomes(registry) == {"ignored": 1}
    assert only(registry).stats().in_flight == 0


async def test_answer_without_a_body_is_complete_at_once(
    client: AsyncClient, server: RawServer, registry: Registry
) -> None:
    server.otherwise = [answer(body=b"")]
    async with client.stream(server.url):
        pass
    assert outcomes(registry) == {"success": 1}


async def test_answer_to_head_is_complete_at_once(client: AsyncClient, server: RawServer, registry: Registry) -> None:
    server.otherwise = [answer(body=b"", length=100)]
    assert await client.get(server.url, method="HEAD") == 200
    assert outcomes(registry) == {"success": 1}


async def test_one_breaker_per_host_and_never_per_query(
    client: AsyncClient, server: RawServer, registry: Registry
) -> None:
    for query in ("?token=1", "?token=2", "/path?token=3"):
        await client.get(f"{server.url}{query}")
    await client.get(f"http://user:secret@localhost:{server.port}/")
    assert [breaker.name for breaker in registry] == [f"http:127.0.0.1:{server.port}", f"http:localhost:{server.port}"]


async def test_key_function_decides(make: Make, server: RawServer, registry: Registry) -> None:
    client = make(registry=registry, name="partner", key=lambda request: request.method)
    await client.get(server.url)
    await client.get(server.url, method="DELETE")
    assert [breaker.name for breaker in registry] == ["partner:GET", "partner:DELETE"]


async def test_number_of_breakers_is_bounded(make: Make, server: RawServer, registry: Registry) -> None:
    client = make(registry=registry, key=lambda request: str(request.url).rpartition("/")[2], max_breakers=2)
    for path in ("a", "b", "c", "d"):
        await client.get(f"{server.url}/{path}")
    assert [breaker.name for breaker in registry] == ["http:c", "http:d"]


async def test_one_breaker_for_all(make: Make, server: RawServer, clock: FakeClock) -> None:
    breaker = CircuitBreaker("partner", settings(), clock=clock)
    client = make(breaker=breaker)
    await client.get(server.url)
    assert breaker.stats().successful == 1


async def test_preset_is_that_of_http_apis(make: Make, server: RawServer) -> None:
    registry = Registry()
    await make(registry=registry).get(server.url)
    assert (only(registry).settings.failure_threshold, only(registry).settings.success_threshold) == (5, 2)


async def test_breakers_own_rules_come_first(make: Make, server: RawServer, registry: Registry) -> None:
    rules = settings(
        failure_on_result=lambda response: (
            getattr(response, "status_code", None) == 404 or getattr(response, "status", None) == 404
        )
    )
    client = make(registry=registry, settings=rules)
    server.otherwise = [answer(404)]
    assert await client.get(server.url) == 404
    assert outcomes(registry) == {"failure": 1}


async def test_change_of_state_says_why(client: AsyncClient, server: RawServer, registry: Registry) -> None:
    await client.get(server.url)
    changes = listen(only(registry), StateChanged)
    server.otherwise = [answer(429, retry_after="5")]
    await client.get(server.url)
    assert [(change.reason, change.detail, change.open_for) for change in changes] == [("throttled", "HTTP 429", 5)]
    assert only(registry).stats().calls[Outcome.THROTTLED] == 1
