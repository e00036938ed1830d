"""`unprotect(client)` undoes `protect(client)`, for every client."""

from typing import Any

import aiohttp
import anthropic
import httpx
import httpx2
import openai
import pytest
import redis
import redis.asyncio
import requests
import sqlalchemy
import valkey
from packages.recloser.tests.integrations.raw_server import RawServer, answer

from recloser import CircuitBreaker, Registry
from recloser.integrations import aiohttp as recloser_aiohttp
from recloser.integrations import anthropic as recloser_anthropic
from recloser.integrations import httpx as recloser_httpx
from recloser.integrations import httpx2 as recloser_httpx2
from recloser.integrations import openai as recloser_openai
from recloser.integrations import redis as recloser_redis
from recloser.integrations import requests as recloser_requests
from recloser.integrations import sqlalchemy as recloser_sqlalchemy
from recloser.integrations import valkey as recloser_valkey

SYNC: list[Any] = [
    (recloser_httpx, httpx.Client),
    (recloser_httpx2, httpx2.Client),
    (recloser_requests, requests.Session),
]


def shape(client: Any) -> Any:
    """What `protect` changes in a client."""
    inside = getattr(client, "_client", client)
    return (
        type(client),
        getattr(inside, "_transport", None),
        dict(getattr(inside, "_mounts", {})),
        dict(getattr(inside, "adapters", {})),
        getattr(inside, "_middlewares", ()),
        {name: value for name, value in vars(client).items() if callable(value) or name.startswith("recloser")},
    )


@pytest.fixture
def failing(server: RawServer) -> RawServer:
    server.otherwise = [answer(500)]
    return server


@pytest.mark.parametrize(("integration", "kind"), SYNC, ids=lambda value: getattr(value, "__name__", None))
def test_http_client_asks_no_breaker_any_more(
    failing: RawServer, registry: Registry, integration: Any, kind: Any
) -> None:
    with kind() as client:
        before = shape(client)
        integration.protect(client, registry=registry)
        client.get(failing.url)
        assert integration.unprotect(client) is client
        assert shape(client) == before
        for _ in range(5):
            assert client.get(failing.url).status_code == 500
        with pytest.raises(ValueError, match="is not protected"):
            integration.unprotect(client)
        integration.protect(client, registry=registry)
    assert registry[f"http:127.0.0.1:{failing.port}"].stats().failed == 1


async def test_aiohttp_session_asks_no_breaker_any_more(failing: RawServer, registry: Registry) -> None:
    async with aiohttp.ClientSession() as session:
        recloser_aiohttp.protect(session, registry=registry)
        recloser_aiohttp.unprotect(session)
        for _ in range(5):
            async with session.get(failing.url) as response:
                assert response.status == 500
        with pytest.raises(ValueError, match="is not protected"):
            recloser_aiohttp.unprotect(session)
    assert len(registry) == 0


@pytest.mark.parametrize(
    ("integration", "kind"), [(recloser_openai, openai.OpenAI), (recloser_anthropic, anthropic.Anthropic)]
)
def test_sdk_client_asks_no_breaker_any_more(
    failing: RawServer, registry: Registry, integration: Any, kind: Any
) -> None:
    with kind(api_key="test", base_url=failing.url, max_retries=0) as client:
        before = shape(client)
        integration.unprotect(integration.protect(client, registry=registry))
        assert shape(client) == before
        with pytest.raises((openai.InternalServerError, anthropic.InternalServerError)):
            client.models.list()
        with pytest.raises(ValueError, match="is not protected"):
            integration.unprotect(client)
    assert len(registry) == 0


CACHES: list[Any] = [
    (recloser_redis, redis.Redis),
    (recloser_redis, redis.asyncio.Redis),
    (recloser_valkey, valkey.Valkey),
]


@pytest.mark.parametrize(("integration", "kind"), CACHES)
def test_cache_client_has_its_own_methods_again(integration: Any, kind: Any, breaker: CircuitBreaker) -> None:
    client = kind()
    before = shape(client)
    integration.protect(client, breaker)
    with pytest.raises(ValueError, match="is protected already"):
        integration.protect(client, breaker)
    assert integration.unprotect(client) is client
    assert shape(client) == before
    with pytest.raises(ValueError, match="is not protected"):
        integration.unprotect(client)


def test_engine_has_its_own_methods_again(breaker: CircuitBreaker) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    before = dict(vars(engine.dialect))
    recloser_sqlalchemy.protect(engine, breaker)
    with pytest.raises(ValueError, match="is protected already"):
        recloser_sqlalchemy.protect(engine, breaker)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
    counted = breaker.stats().successful
    assert counted > 0
    assert recloser_sqlalchemy.unprotect(engine) is engine
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
    engine.dispose()
    assert breaker.stats().successful == counted
    assert {name: before.get(name) for name in ("connect", "do_ping", "do_execute")} == {
        name: vars(engine.dialect).get(name) for name in ("connect", "do_ping", "do_execute")
    }
    with pytest.raises(ValueError, match="is not protected"):
        recloser_sqlalchemy.unprotect(engine)
