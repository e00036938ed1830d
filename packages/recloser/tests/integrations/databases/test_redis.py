"""redis-py and valkey-py behind a breaker, with a Valkey server that is stopped, frozen and restarted."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey as valkey_client
import valkey.asyncio
from packages.recloser.tests.integrations.databases.reading import outcomes
from packages.recloser.tests.support import settings
from testing.servers import ValkeyServer

from recloser import CircuitBreaker, CircuitOpenError, State
from recloser.integrations import redis as recloser_redis
from recloser.integrations import valkey as recloser_valkey
from recloser.testing import FakeClock

LIBRARIES = [
    pytest.param((redis, redis.asyncio, recloser_redis, "Redis"), id="redis"),
    pytest.param((valkey_client, valkey.asyncio, recloser_valkey, "Valkey"), id="valkey"),
]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    """A client's module, its async module, its integration and the name of its class."""
    return request.param


@pytest.fixture
def errors(library: Any) -> Any:
    return library[0].exceptions


class Clients:
    """Makes protected clients that give up at once."""

    def __init__(self, library: Any, breaker: CircuitBreaker) -> None:
        self.module, self.async_module, self.integration, self.kind = library
        self.breaker = breaker
        self.made: list[Any] = []

    def sync(self, server: ValkeyServer, **options: Any) -> Any:
        made = getattr(self.module, self.kind).from_url(server.url, **_patient(self.module, options))
        self.made.append(made)
        return self.integration.protect(made, self.breaker)

    def asynchronous(self, server: ValkeyServer, **options: Any) -> Any:
        made = getattr(self.async_module, self.kind).from_url(server.url, **_patient(self.async_module, options))
        return self.integration.protect(made, self.breaker)


def _patient(module: Any, options: dict[str, Any]) -> dict[str, Any]:
    from redis.asyncio.retry import Retry as AsyncRedisRetry
    from redis.backoff import NoBackoff
    from redis.retry import Retry as RedisRetry
    from valkey.asyncio.retry import Retry as AsyncValkeyRetry
    from valkey.backoff import NoBackoff as ValkeyNoBackoff
    from valkey.retry import Retry as ValkeyRetry

    retries: dict[Any, Any] = {
        redis: lambda: RedisRetry(NoBackoff(), 0),
        redis.asyncio: lambda: AsyncRedisRetry(NoBackoff(), 0),
        valkey_client: lambda: ValkeyRetry(ValkeyNoBackoff(), 0),
        valkey.asyncio: lambda: AsyncValkeyRetry(ValkeyNoBackoff(), 0),
    }
    return {"retry": retries[module](), "socket_timeout": 5, **options}


@pytest.fixture
def clients(library: Any, breaker: CircuitBreaker, valkey: ValkeyServer) -> Iterator[Clients]:
    made = Clients(library, breaker)
    yield made
    for client in made.made:
        client.close()


def test_each_command_is_a_call_and_a_miss_is_a_success(
    clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker
) -> None:
    client = clients.sync(valkey)
    assert client.get("nothing") is None
    client.set("text", "x")
    assert outcomes(breaker) == {"success": 2}


async def test_each_async_command_is_a_call(clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker) -> None:
    async with clients.asynchronous(valkey) as client:
        assert await client.get("nothing") is None
    assert outcomes(breaker) == {"success": 1}


def test_error_that_the_server_answers_with_is_a_success(
    clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    client = clients.sync(valkey)
    client.set("text", "x")
    with pytest.raises(errors.ResponseError):
        client.incr("text")
    assert outcomes(breaker) == {"success": 2}


def test_pipeline_is_one_call(clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker) -> None:
    with clients.sync(valkey).pipeline() as pipe:
        assert pipe.set("a", 1).incr("a").execute() == [True, 2]
    assert outcomes(breaker) == {"success": 1}


async def test_async_pipeline_is_one_call(clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker) -> None:
    async with clients.asynchronous(valkey) as client, client.pipeline() as pipe:
        assert await pipe.set("a", 1).incr("a").execute() == [True, 2]
    assert outcomes(breaker) == {"success": 1}


def test_lost_watch_is_an_answer(clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any) -> None:
    client = clients.sync(valkey)
    with client.pipeline() as pipe:
        pipe.watch("watched")
        client.incr("watched")
        pipe.multi()
        pipe.get("watched")
        with pytest.raises(errors.WatchError):
            pipe.execute()
    assert outcomes(breaker) == {"success": 3}


def test_watch_that_is_lost_with_its_connection_is_a_failure(
    library: Any, own_valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    client = Clients(library, breaker).sync(own_valkey)
    with client.pipeline() as pipe:
        pipe.watch("watched")
        own_valkey.kill()
        with pytest.raises((errors.WatchError, errors.ConnectionError)):
            pipe.get("watched")
    client.close()
    assert outcomes(breaker) == {"success": 1, "failure": 1}


def test_empty_pipeline_says_nothing(clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker) -> None:
    with clients.sync(valkey).pipeline() as pipe:
        assert pipe.execute() == []
    assert outcomes(breaker) == {}


def test_pool_that_is_used_up_is_ignored(
    clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    client = clients.sync(valkey, max_connections=1)
    with client.pipeline() as pipe:
        pipe.watch("x")  # holds the only connection
        with pytest.raises(errors.ConnectionError):
            client.get("x")
    assert outcomes(breaker) == {"success": 1, "ignored": 1}


def test_blocking_pool_that_is_used_up_is_ignored(
    clients: Clients, library: Any, valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    pool = library[0].BlockingConnectionPool.from_url(valkey.url, max_connections=1, timeout=0.02)
    client = library[2].protect(getattr(library[0], library[3])(connection_pool=pool), breaker)
    with client.pipeline() as pipe:
        pipe.watch("x")
        with pytest.raises(errors.ConnectionError):
            client.get("x")
    client.close()
    pool.disconnect()
    assert outcomes(breaker) == {"success": 1, "ignored": 1}


async def test_async_pool_that_is_used_up_is_ignored(
    clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    async with clients.asynchronous(valkey, max_connections=1) as client, client.pipeline() as pipe:
        await pipe.watch("x")
        with pytest.raises(errors.ConnectionError):
            await client.get("x")
    assert outcomes(breaker) == {"success": 1, "ignored": 1}


SLOW = {"slow_call_duration": 1.0, "slow_call_rate_threshold": 0.5, "minimum_calls": 2}


@pytest.mark.parametrize("blocking", ["blpop", "xread"])
def test_what_a_command_waits_for_others_is_not_slow(
    library: Any, valkey: ValkeyServer, clock: FakeClock, blocking: str
) -> None:
    breaker = CircuitBreaker("cache", settings(**SLOW), clock=clock)
    clients = Clients(library, breaker)
    waiting, pushing = clients.sync(valkey), clients.sync(valkey)
    pushing.delete("queue", "stream")

    def wait() -> None:
        if blocking == "blpop":
            answers.append(waiting.blpop(["queue"], timeout=10))
        else:
            answers.append(waiting.xread({"stream": "$"}, block=10_000))

    answers: list[Any] = []
    thread = threading.Thread(target=wait)
    thread.start()
    while not pushing.info("clients")["blocked_clients"]:
        pass
    clock.advance(60)
    pushing.rpush("queue", "x") if blocking == "blpop" else pushing.xadd("stream", {"a": 1})
    thread.join(10)
    assert answers[0]
    for client in (waiting, pushing):
        client.close()
    assert "slow" not in outcomes(breaker)
    assert breaker.stats().duration_sum == 0


def test_subscribing_is_a_call_and_listening_is_not(
    clients: Clients, valkey: ValkeyServer, breaker: CircuitBreaker
) -> None:
    client = clients.sync(valkey)
    with client.pubsub() as pubsub:
        pubsub.subscribe("news")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        client.publish("news", "hello")
        assert pubsub.get_message(timeout=5)["data"] == b"hello"
        assert outcomes(breaker) == {"success": 2}
        breaker.force_open("maintenance")
        assert pubsub.get_message(timeout=0.01) is None
        with pytest.raises(CircuitOpenError):
            pubsub.subscribe("sport")


def test_listener_whose_server_dies_counts_failures(
    library: Any, own_valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    client = Clients(library, breaker).sync(own_valkey)
    with client.pubsub() as pubsub:
        pubsub.subscribe("news")
        pubsub.get_message(timeout=5)
        own_valkey.kill()
        for _ in range(5):
            with pytest.raises(errors.ConnectionError):
                pubsub.get_message(timeout=1)
    client.close()
    assert breaker.state is State.OPEN
    assert outcomes(breaker) == {"success": 1, "failure": 3}


async def test_async_listener_whose_server_dies_counts_failures(
    library: Any, own_valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    async with Clients(library, breaker).asynchronous(own_valkey) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("news")
        await pubsub.get_message(timeout=5)
        own_valkey.kill()
        for _ in range(5):
            with pytest.raises(errors.ConnectionError):
                await pubsub.get_message(timeout=1)
    assert breaker.state is State.OPEN
    assert outcomes(breaker) == {"success": 1, "failure": 3}


def test_listener_subscribes_again_by_itself_when_the_server_is_back(
    library: Any, own_valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    client = Clients(library, breaker).sync(own_valkey)
    with client.pubsub() as pubsub:
        pubsub.subscribe("news")
        pubsub.get_message(timeout=5)
        own_valkey.kill()
        for _ in range(3):
            with pytest.raises(errors.ConnectionError):
                pubsub.get_message(timeout=1)
        own_valkey.start()
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
    client.close()
    assert outcomes(breaker) == {"success": 1, "failure": 3}


def test_server_that_is_killed_and_comes_back(
    library: Any, own_valkey: ValkeyServer, breaker: CircuitBreaker, clock: FakeClock, errors: Any
) -> None:
    client = Clients(library, breaker).sync(own_valkey)
    client.set("a", 1)
    own_valkey.kill()
    for _ in range(3):
        with pytest.raises(errors.ConnectionError):
            client.get("a")
    with pytest.raises(CircuitOpenError):
        client.get("a")
    with client.pipeline() as pipe, pytest.raises(CircuitOpenError):
        pipe.get("a").execute()
    own_valkey.start()
    clock.advance(10)
    assert client.get("a") is None
    client.close()
    assert breaker.state is State.CLOSED


async def test_async_server_that_is_frozen(
    library: Any, own_valkey: ValkeyServer, breaker: CircuitBreaker, clock: FakeClock, errors: Any
) -> None:
    clients = Clients(library, breaker)
    async with clients.asynchronous(own_valkey, socket_timeout=0.2, socket_connect_timeout=0.2) as client:
        await client.set("a", 1)
        own_valkey.freeze()
        for _ in range(3):
            with pytest.raises(errors.TimeoutError):
                await client.get("a")
        with pytest.raises(CircuitOpenError):
            await client.get("a")
        own_valkey.thaw()
        clock.advance(10)
    async with clients.asynchronous(own_valkey) as client:
        assert await client.get("a") == b"1"
    assert breaker.state is State.CLOSED


def test_server_that_cannot_serve_is_a_failure(
    library: Any, own_valkey: ValkeyServer, breaker: CircuitBreaker, errors: Any
) -> None:
    client = Clients(library, breaker).sync(own_valkey)
    client.config_set("maxmemory", 1)
    client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(errors.ResponseError):
        client.set("a", "x" * 100)
    with client.pipeline(transaction=False) as pipe:
        [error] = pipe.set("a", "x" * 100).execute(raise_on_error=False)
        assert isinstance(error, errors.ResponseError)
    client.close()
    assert outcomes(breaker) == {"success": 2, "failure": 2}
