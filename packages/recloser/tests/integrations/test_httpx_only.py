"""What only httpx and httpx2 have: transports to choose, pools with limits, redirects, timeouts per request."""

import pickle
from typing import Any

import httpx
import httpx2
import pytest
from packages.recloser.tests.integrations.raw_server import HANG, RawServer, answer

from recloser import CircuitBreaker, Registry, State
from recloser.integrations import httpx as recloser_httpx
from recloser.integrations import httpx2 as recloser_httpx2
from recloser.testing import FakeClock


@pytest.fixture(params=[(httpx, recloser_httpx), (httpx2, recloser_httpx2)], ids=["httpx", "httpx2"])
def libs(request: pytest.FixtureRequest) -> Any:
    """The client and its integration."""
    return request.param


def only(registry: Registry) -> CircuitBreaker:
    [breaker] = registry
    return breaker


def test_impatient_caller_is_ignored(libs: Any, server: RawServer, registry: Registry) -> None:
    """A timeout of the request that is shorter than the client's own; the client's own is a failure."""
    lib, integration = libs
    server.otherwise = [HANG]
    with integration.protect(lib.Client(timeout=0.2, trust_env=False), registry=registry) as client:
        for timeout in (0.01, 0.2):
            with pytest.raises(lib.ReadTimeout):
                client.get(server.url, timeout=timeout)
    assert (only(registry).stats().calls["ignored"], only(registry).stats().failed) == (1, 1)


def test_full_pool_does_not_decide_in_half_open(
    libs: Any, server: RawServer, registry: Registry, clock: FakeClock
) -> None:
    lib, integration = libs
    limits = lib.Limits(max_connections=1)
    client = lib.Client(limits=limits, timeout=lib.Timeout(5, pool=0.01), trust_env=False)
    server.replies = [[answer(500)]] * 3
    server.otherwise = [answer(body=b"x", length=9), HANG]
    with integration.protect(client, registry=registry):
        for _ in range(3):
            client.get(server.url)
        clock.advance(10)
        with client.stream("GET", f"http://localhost:{server.port}"), pytest.raises(lib.PoolTimeout):
            client.get(server.url)
    breaker = registry[f"http:127.0.0.1:{server.port}"]
    assert (breaker.state, breaker.stats().failed) == (State.HALF_OPEN, 4)
    assert breaker.retry_after == 0, "the slot is free for the next probe"


def test_each_hop_of_a_redirect_asks_its_own_breaker(libs: Any, server: RawServer, registry: Registry) -> None:
    lib, integration = libs
    server.replies = [[answer(302, location=f"http://localhost:{server.port}/")]]
    with integration.protect(lib.Client(follow_redirects=True), registry=registry) as client:
        assert client.get(server.url).status_code == 200
    assert {breaker.name: breaker.stats().successful for breaker in registry} == {
        f"http:127.0.0.1:{server.port}": 1,
        f"http:localhost:{server.port}": 1,
    }


def test_transport_of_ones_own(libs: Any, server: RawServer, registry: Registry) -> None:
    lib, integration = libs
    transport = integration.BreakerTransport(lib.HTTPTransport(retries=1), registry=registry)
    with lib.Client(transport=transport) as client:
        client.get(server.url)
    assert only(registry).stats().successful == 1


async def test_async_transport_by_default(libs: Any, server: RawServer, registry: Registry) -> None:
    lib, integration = libs
    async with lib.AsyncClient(transport=integration.AsyncBreakerTransport(registry=registry)) as client:
        await client.get(server.url)
    assert only(registry).stats().successful == 1


def test_proxies_are_behind_the_breaker_too(libs: Any, server: RawServer, registry: Registry) -> None:
    lib, integration = libs
    client = lib.Client(mounts={"http://": lib.HTTPTransport(proxy=server.url)})
    with integration.protect(client, registry=registry):
        assert client.get("http://partner.invalid/").status_code == 200
    assert only(registry).name == "http:partner.invalid"


def test_second_protection_is_refused(libs: Any, registry: Registry) -> None:
    lib, integration = libs
    client = integration.protect(lib.Client(), registry=registry)
    with client, pytest.raises(ValueError, match="is protected already"):
        integration.protect(client, registry=registry)


def test_rejection_survives_pickling(libs: Any) -> None:
    error = libs[1].CircuitOpenTransportError("partner", "open", 3.0, "HTTP 500")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.retry_after) == (type(error), str(error), 3.0)


def test_error_of_the_callers_own_is_ignored(libs: Any, server: RawServer, registry: Registry) -> None:
    lib, integration = libs

    def body() -> Any:
        yield b"one"
        raise LookupError("no more")

    with integration.protect(lib.Client(), registry=registry) as client, pytest.raises(LookupError):
        client.post(server.url, content=body())
    assert only(registry).stats().calls["ignored"] == 1
