"""HTTP clients of an instrumented process: one breaker per host, whichever client asks, each call counted once."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
from packages.recloser.tests.instrumentation.conftest import Instrument
from packages.recloser.tests.instrumentation.programs import closed_port
from packages.recloser.tests.integrations.raw_server import HANG, RawServer, answer

import recloser
from recloser import CircuitOpenError, Registry, State
from recloser.integrations import aiohttp as recloser_aiohttp
from recloser.integrations import httpx as recloser_httpx
from recloser.integrations import httpx2 as recloser_httpx2
from recloser.integrations import requests as recloser_requests
from recloser.testing import FakeClock

Get = Callable[[str], Awaitable[int]]


class WithHttpx:
    """A sync client; its `get` is async so that all clients have one face."""

    lib: Any = httpx
    integration: Any = recloser_httpx
    error: type[Exception] = httpx.TransportError

    def __init__(self) -> None:
        self.client = self.lib.Client(trust_env=False)

    async def get(self, url: str) -> int:
        return int(self.client.get(url).status_code)

    async def close(self) -> None:
        self.client.close()


class WithHttpx2(WithHttpx):
    lib = httpx2
    integration = recloser_httpx2
    error = httpx2.TransportError


class WithHttpxAsync(WithHttpx):
    def __init__(self) -> None:
        self.client = self.lib.AsyncClient(trust_env=False)

    async def get(self, url: str) -> int:
        return int((await self.client.get(url)).status_code)

    async def close(self) -> None:
        await self.client.aclose()


class WithHttpx2Async(WithHttpxAsync):
    lib = httpx2
    integration = recloser_httpx2
    error = httpx2.TransportError


class WithRequests:
    integration: Any = recloser_requests
    error: type[Exception] = requests.ConnectionError

    def __init__(self) -> None:
        self.client = requests.Session()
        self.client.trust_env = False

    async def get(self, url: str) -> int:
        return self.client.get(url).status_code

    async def close(self) -> None:
        self.client.close()


class WithAiohttp:
    integration: Any = recloser_aiohttp
    error: type[Exception] = aiohttp.ClientConnectionError

    def __init__(self) -> None:
        self.client = aiohttp.ClientSession()

    async def get(self, url: str) -> int:
        async with self.client.get(url) as response:
            await response.read()
            return response.status

    async def close(self) -> None:
        await self.client.close()


CLIENTS = [WithHttpx, WithHttpxAsync, WithHttpx2, WithHttpx2Async, WithRequests, WithAiohttp]


@pytest.fixture(params=CLIENTS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_host_has_a_breaker_that_opens_and_rejects_without_sending(
    instrument: Instrument, server: RawServer, kind: Any
) -> None:
    registry = instrument().registry
    server.otherwise = [answer(500)]
    client = kind()
    for _ in range(2):
        assert await client.get(server.url) == 500
    with pytest.raises(CircuitOpenError):
        await client.get(server.url)
    await client.close()
    assert len(server.requests) == 2
    assert registry[f"http:127.0.0.1:{server.port}"].stats().calls["failure"] == 2


async def test_rejection_is_an_error_that_the_program_handles_already(instrument: Instrument, kind: Any) -> None:
    instrument()
    client, url = kind(), f"http://127.0.0.1:{closed_port()}"
    for _ in range(3):
        with pytest.raises(client.error) as caught:
            await client.get(url)
    await client.close()
    assert isinstance(caught.value, CircuitOpenError)


async def test_client_that_was_made_before_is_protected(instrument: Instrument, server: RawServer, kind: Any) -> None:
    client = kind()
    assert await client.get(server.url) == 200
    registry = instrument().registry
    assert await client.get(server.url) == 200
    await client.close()
    assert registry[f"http:127.0.0.1:{server.port}"].stats().successful == 1


async def test_client_that_the_program_protects_itself_is_not_protected_twice(
    instrument: Instrument, server: RawServer, kind: Any
) -> None:
    registry, own = instrument().registry, Registry()
    client = kind()
    client.integration.protect(client.client, registry=own)
    assert await client.get(server.url) == 200
    await client.close()
    assert own[f"http:127.0.0.1:{server.port}"].stats().successful == 1
    assert len(registry) == 0


async def test_host_that_is_left_out_has_no_breaker(
    instrument: Instrument, server: RawServer, kind: Any, tmp_path: Any
) -> None:
    config = tmp_path / "leave-out.yaml"
    config.write_text("instrument: {leave_out: ['http:127.0.0.1:*']}")
    server.otherwise = [answer(500)]
    registry = instrument(config).registry
    client = kind()
    for _ in range(10):
        assert await client.get(server.url) == 500
    await client.close()
    assert len(registry) == 0


async def test_client_works_as_before_after_uninstrument(instrument: Instrument, server: RawServer, kind: Any) -> None:
    registry = instrument().registry
    server.otherwise = [answer(500)]
    client = kind()
    for _ in range(2):
        await client.get(server.url)
    recloser.uninstrument()
    assert await client.get(server.url) == 500
    await client.close()
    assert registry[f"http:127.0.0.1:{server.port}"].stats().calls["failure"] == 2


async def test_all_clients_of_a_host_share_its_breaker(instrument: Instrument, server: RawServer) -> None:
    registry = instrument().registry
    for kind in CLIENTS:
        client = kind()
        assert await client.get(server.url) == 200
        await client.close()
    assert [(name, stats.successful) for name, stats in registry.stats().items()] == [
        (f"http:127.0.0.1:{server.port}", len(CLIENTS))
    ]


def test_names_hold_neither_users_nor_paths_nor_queries(instrument: Instrument, server: RawServer) -> None:
    registry = instrument().registry
    with requests.Session() as session:
        session.get(f"http://user:secret@127.0.0.1:{server.port}/path?token=secret")
    with httpx.Client() as client:
        client.get(f"http://user:secret@127.0.0.1:{server.port}/path?token=secret")
    assert [breaker.name for breaker in registry] == [f"http:127.0.0.1:{server.port}"]


def test_transport_inside_the_process_is_no_dependency(instrument: Instrument) -> None:
    registry = instrument().registry
    transport = httpx.MockTransport(lambda request: httpx.Response(500))
    with httpx.Client(transport=transport) as client:
        for _ in range(10):
            assert client.get("http://example.com").status_code == 500
    assert len(registry) == 0


def test_too_many_hosts_in_shadow_mode_share_a_breaker(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recloser.instrumentation.dependencies.MAX_BREAKERS", 3)
    registry, port = instrument(observe_only=True).registry, closed_port()
    with requests.Session() as session:
        session.trust_env = False
        for host in range(1, 6):
            with pytest.raises(requests.ConnectionError):
                session.get(f"http://127.0.0.{host}:{port}")
    names = [breaker.name for breaker in registry]
    assert names == [f"http:127.0.0.{host}:{port}" for host in (1, 2, 3)] + ["http:(others)"]
    assert registry["http:(others)"].stats().failed == 2


async def test_wait_for_a_connection_of_a_full_aiohttp_pool_does_not_decide(
    instrument: Instrument, server: RawServer, clock: FakeClock
) -> None:
    registry = instrument().registry
    server.replies = [[answer(500, connection="close")]] * 2
    server.otherwise = [answer(body=b"x", length=9), HANG]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for _ in range(2):
            async with session.get(server.url):
                pass
        clock.advance(60)
        async with session.get(f"http://localhost:{server.port}"):
            with pytest.raises(TimeoutError):
                await session.get(server.url, timeout=aiohttp.ClientTimeout(total=0.2))
        assert registry[f"http:127.0.0.1:{server.port}"].state is State.HALF_OPEN
        recloser.uninstrument()
        assert session.trace_configs == []


async def test_unprotected_aiohttp_session_has_its_own_trace_configs_again() -> None:
    async with aiohttp.ClientSession() as session:
        recloser_aiohttp.unprotect(recloser_aiohttp.protect(session, registry=Registry()))
        assert session.trace_configs == []
