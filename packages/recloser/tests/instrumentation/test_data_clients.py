"""Databases and caches of an instrumented process, with real servers that go away."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import redis
import sqlalchemy
import valkey
from packages.recloser.tests.instrumentation.conftest import Instrument
from packages.recloser.tests.instrumentation.programs import closed_port, wait_until
from psycopg_pool import ConnectionPool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from testing.servers import PostgresServer, ValkeyServer

import recloser
from recloser import CircuitBreaker, CircuitOpenError, Registry
from recloser.integrations import asyncpg as recloser_asyncpg
from recloser.integrations import psycopg as recloser_psycopg
from recloser.integrations import redis as recloser_redis
from recloser.integrations import sqlalchemy as recloser_sqlalchemy
from recloser.integrations import valkey as recloser_valkey


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """A server that these tests may stop; it runs again at the end of each."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def dead_database(database: PostgresServer) -> Iterator[PostgresServer]:
    database.stop()
    yield database
    database.start()


@pytest.fixture
def own_database() -> Iterator[PostgresServer]:
    """A server that a test may kill."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def cache() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def own_cache() -> Iterator[ValkeyServer]:
    """A server that a test may kill."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def dead_cache(cache: ValkeyServer) -> Iterator[ValkeyServer]:
    cache.stop()
    yield cache
    cache.start()


def dsn_of(server: PostgresServer) -> str:
    return sqlalchemy.make_url(server.url).set(drivername="postgresql").render_as_string(hide_password=False)


def name_of(server: PostgresServer) -> str:
    return f"postgresql:127.0.0.1:{server.port}/{sqlalchemy.make_url(server.url).database}"


def calls_of(registry: Registry) -> dict[str, int]:
    return {name: stats.successful for name, stats in registry.stats().items()}


# SQLAlchemy


def engine_of(server: PostgresServer) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(sqlalchemy.make_url(server.url).set(drivername="postgresql+psycopg"))


def test_engine_and_its_driver_count_a_call_once(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    engine = engine_of(database)
    statements = []
    sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    before = registry[name_of(database)].stats().successful
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 2")) == 2
    engine.dispose()
    assert list(registry.stats()) == [name_of(database)]
    assert registry[name_of(database)].stats().successful == before + 1


def test_rejection_is_sqlalchemys_own_error(instrument: Instrument, dead_database: PostgresServer) -> None:
    instrument()
    engine = engine_of(dead_database)
    for _ in range(3):
        with pytest.raises(sqlalchemy.exc.OperationalError) as caught:
            engine.connect()
    engine.dispose()
    assert isinstance(caught.value.orig, CircuitOpenError)


def test_engine_that_was_made_before_is_protected(instrument: Instrument, database: PostgresServer) -> None:
    engine = engine_of(database)
    with engine.connect() as connection:
        registry = instrument().registry
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
    assert calls_of(registry) == {name_of(database): 1}


async def test_async_engine_and_its_driver_count_a_call_once(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    engine = create_async_engine(sqlalchemy.make_url(database.url).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
        before = registry[name_of(database)].stats().successful
        assert await connection.scalar(text("SELECT 2")) == 2
    await engine.dispose()
    assert calls_of(registry) == {name_of(database): before + 1}


def test_listener_that_changes_how_an_engine_connects_is_still_called(
    instrument: Instrument, database: PostgresServer
) -> None:
    registry = instrument().registry
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://nobody:wrong@127.0.0.1:{database.port}/nothing")
    right = sqlalchemy.make_url(database.url)

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, args: Any, kwargs: dict[str, Any]) -> None:
        kwargs.update(user=right.username, dbname=right.database, password=right.password or "")

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_database()")) == right.database
    engine.dispose()
    assert f"postgresql:127.0.0.1:{database.port}/nothing" in registry


def test_engine_that_the_program_protects_itself_is_not_protected_twice(
    instrument: Instrument, database: PostgresServer
) -> None:
    registry, own = instrument().registry, CircuitBreaker("own")
    engine = recloser_sqlalchemy.protect(engine_of(database), own)
    engine.connect().close()  # an engine's first connection asks the server about itself, past the engine
    engine.dispose()
    before, theirs = own.stats().successful, calls_of(registry)
    with engine.connect() as connection:
        connection.scalar(text("SELECT 1"))
    engine.dispose()
    assert own.stats().successful == before + 2
    assert calls_of(registry) == theirs


def test_engine_that_the_program_unprotects_again_is_protected(
    instrument: Instrument, database: PostgresServer
) -> None:
    own = CircuitBreaker("own")
    engine = recloser_sqlalchemy.protect(engine_of(database), own)
    registry = instrument().registry
    recloser_sqlalchemy.unprotect(engine)
    with engine.connect() as connection:
        connection.scalar(text("SELECT 1"))
    recloser.uninstrument()
    with engine.connect() as connection:
        connection.scalar(text("SELECT 1"))
    engine.dispose()
    assert own.stats().successful == 0
    assert registry[name_of(database)].stats().failed == 0
    assert [breaker.name for breaker in registry] == [name_of(database)]


def test_engine_has_its_own_methods_after_uninstrument(instrument: Instrument) -> None:
    before = vars(sqlalchemy.Engine)["__init__"]
    old = sqlalchemy.create_engine("sqlite://")
    sqlalchemy.event.listen(old, "handle_error", print)  # SQLAlchemy makes room for listeners, and leaves it
    plain = dict(vars(old.dialect))
    instrument()
    new = sqlalchemy.create_engine("sqlite://")
    assert vars(old.dialect) != plain
    recloser.uninstrument()
    assert vars(sqlalchemy.Engine)["__init__"] is before
    assert vars(old.dialect) == plain
    assert list(old.dialect.dispatch.handle_error) == [print]
    assert not [name for name in vars(new.dialect) if name in ("connect", "recloser_instrumented") or "do_" in name]
    assert list(new.dialect.dispatch.handle_error) == []


def test_file_of_sqlite_has_a_breaker(instrument: Instrument, tmp_path: Path) -> None:
    registry = instrument().registry
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/data.db")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert list(registry.stats()) == [f"sqlite:{tmp_path}/data.db"]


def test_commit_is_not_rejected_and_counts_when_it_fails(instrument: Instrument, own_database: PostgresServer) -> None:
    registry = instrument().registry
    engine = engine_of(own_database)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE items (id int)"))
        breaker = registry[name_of(own_database)]
        breaker.force_open("maintenance")
        connection.commit()
        breaker.automatic("done")
        connection.execute(text("INSERT INTO items VALUES (1)"))
        own_database.kill()
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.commit()
    engine.dispose()
    assert breaker.stats().failed == 1


async def test_rollback_of_a_dead_server_below_an_engine_is_not_counted_by_the_driver(
    instrument: Instrument, own_database: PostgresServer
) -> None:
    registry = instrument().registry
    engine = create_async_engine(sqlalchemy.make_url(own_database.url).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        own_database.kill()
        with pytest.raises(sqlalchemy.exc.DBAPIError):
            await connection.execute(text("SELECT 1"))
    await engine.dispose()
    assert registry[name_of(own_database)].stats().failed == 1


# psycopg


@pytest.mark.parametrize("connect", [psycopg.Connection.connect, None], ids=["of the class", "of the module"])
def test_psycopg_is_protected(instrument: Instrument, database: PostgresServer, connect: Any) -> None:
    registry = instrument().registry
    make = psycopg.connect if connect is None else psycopg.Connection.connect
    with make(dsn_of(database)) as connection, connection.cursor() as cursor, connection.cursor("named") as named:
        cursor.execute("SELECT 1")
        named.execute("SELECT 2")
    assert calls_of(registry) == {name_of(database): 3}


async def test_psycopg_async_is_protected(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    async with await psycopg.AsyncConnection.connect(dsn_of(database)) as connection:
        await connection.execute("SELECT 1")
    assert calls_of(registry) == {name_of(database): 2}


def test_psycopg_copy_and_stream_are_calls(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    with psycopg.connect(dsn_of(database)) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT 1) TO STDOUT") as copy:
            assert list(copy.rows()) == [("1",)]
        assert list(cursor.stream("SELECT 2")) == [(2,)]
    assert calls_of(registry) == {name_of(database): 3}


async def test_psycopg_async_copy_and_stream_are_calls(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    async with await psycopg.AsyncConnection.connect(dsn_of(database)) as connection, connection.cursor() as cursor:
        async with cursor.copy("COPY (SELECT 1) TO STDOUT") as copy:
            assert [row async for row in copy.rows()] == [("1",)]
        assert [row async for row in cursor.stream("SELECT 2")] == [(2,)]
    assert calls_of(registry) == {name_of(database): 3}


def test_psycopg_end_of_a_transaction_is_never_rejected(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    with psycopg.connect(dsn_of(database), autocommit=True) as connection:
        connection.execute("BEGIN")
        registry[name_of(database)].force_open("maintenance")
        connection.execute("ROLLBACK")
        with pytest.raises(psycopg.OperationalError) as caught:
            connection.execute("SELECT 1")
    assert isinstance(caught.value, CircuitOpenError)


def test_psycopg_connection_that_was_made_before_is_protected(instrument: Instrument, database: PostgresServer) -> None:
    with psycopg.connect(dsn_of(database)) as connection:
        registry = instrument().registry
        connection.execute("SELECT 1")
    assert calls_of(registry) == {name_of(database): 1}


def test_psycopg_pool_is_protected(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    with ConnectionPool(dsn_of(database), min_size=1) as pool, pool.connection() as connection:
        connection.execute("SELECT 1")
    assert calls_of(registry)[name_of(database)] >= 2


def test_psycopg_rejection_is_an_error_of_the_driver(instrument: Instrument, dead_database: PostgresServer) -> None:
    instrument()
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(dsn_of(dead_database))
    assert isinstance(caught.value, CircuitOpenError)


def test_psycopg_class_that_the_program_protects_itself_is_not_protected_twice(
    instrument: Instrument, database: PostgresServer
) -> None:
    registry, own = instrument().registry, CircuitBreaker("own")
    with recloser_psycopg.protected(psycopg.Connection, own).connect(dsn_of(database)) as connection:
        connection.execute("SELECT 1")
    assert own.stats().successful == 2
    assert len(registry) == 0


# asyncpg


async def test_asyncpg_is_protected(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    connection = await asyncpg.connect(dsn_of(database))
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert calls_of(registry) == {name_of(database): 2}


async def test_asyncpg_pool_is_protected(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    async with asyncpg.create_pool(dsn_of(database), min_size=1, max_size=1) as pool:
        assert await pool.fetchval("SELECT 1") == 1
    assert calls_of(registry) == {name_of(database): 2}


async def test_asyncpg_prepared_statements_and_cursors_are_calls(
    instrument: Instrument, database: PostgresServer
) -> None:
    registry = instrument().registry
    connection = await asyncpg.connect(dsn_of(database))
    statement = await connection.prepare("SELECT 1")
    assert await statement.fetchval() == 1
    async with connection.transaction():  # BEGIN is a call, COMMIT is not
        assert [row[0] async for row in connection.cursor("SELECT 2")] == [2]
        cursor = await statement.cursor()
        assert await cursor.fetchrow() == (1,)
        registry[name_of(database)].force_open("maintenance")
        with pytest.raises(asyncpg.PostgresConnectionError):
            await statement.cursor()
        assert await cursor.fetchrow() is None
    await connection.close()
    assert calls_of(registry) == {name_of(database): 6}


async def test_asyncpg_prepared_statement_of_a_connection_that_the_program_protects_is_not_protected_twice(
    instrument: Instrument, database: PostgresServer
) -> None:
    registry, own = instrument().registry, CircuitBreaker("own")
    connection = await recloser_asyncpg.connect(dsn_of(database), breaker=own)
    statement = await connection.prepare("SELECT 1")
    assert await statement.fetchval() == 1
    async with connection.transaction():
        assert [row[0] async for row in statement.cursor()] == [1]
    await connection.close()
    assert own.stats().successful == 5
    assert len(registry) == 0


async def test_asyncpg_connection_that_was_made_before_is_protected(
    instrument: Instrument, database: PostgresServer
) -> None:
    connection = await asyncpg.connect(dsn_of(database))
    registry = instrument().registry
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert calls_of(registry) == {name_of(database): 1}


async def test_asyncpg_rejection_is_an_error_of_a_lost_connection(
    instrument: Instrument, dead_database: PostgresServer
) -> None:
    instrument()
    for _ in range(3):
        with pytest.raises(OSError) as caught:
            await asyncpg.connect(dsn_of(dead_database))
    assert isinstance(caught.value, CircuitOpenError)
    assert isinstance(caught.value, asyncpg.PostgresConnectionError)


async def test_asyncpg_class_that_the_program_protects_itself_is_not_protected_twice(
    instrument: Instrument, database: PostgresServer
) -> None:
    registry, own = instrument().registry, CircuitBreaker("own")
    async with recloser_asyncpg.create_pool(dsn_of(database), breaker=own, min_size=1, max_size=1) as pool:
        assert await pool.fetchval("SELECT 1") == 1
    assert own.stats().successful == 2
    assert len(registry) == 0


async def test_frozen_server_is_a_failure_of_connecting(instrument: Instrument, database: PostgresServer) -> None:
    registry = instrument().registry
    database.freeze()
    try:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncpg.connect(dsn_of(database), timeout=0.2)
    finally:
        database.thaw()
    assert registry[name_of(database)].stats().failed == 2


# Redis and Valkey


LIBRARIES: list[Any] = [("redis", redis, recloser_redis), ("valkey", valkey, recloser_valkey)]


@pytest.fixture(params=LIBRARIES, ids=lambda library: library[0])
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def sync_client(module: Any, server: ValkeyServer) -> Any:
    client = getattr(module, "Redis", None) or module.Valkey
    return client(port=server.port, host="127.0.0.1", retry=None)


def async_client(module: Any, server: ValkeyServer) -> Any:
    client = getattr(module.asyncio, "Redis", None) or module.asyncio.Valkey
    return client(port=server.port, host="127.0.0.1", retry=None)


def test_cache_is_protected(instrument: Instrument, cache: ValkeyServer, library: Any) -> None:
    kind, module, _ = library
    registry = instrument().registry
    with sync_client(module, cache) as client:
        client.set("key", "value")
        assert client.get("key") == b"value"
        with client.pipeline() as pipe:
            pipe.get("key").get("missing")
            assert pipe.execute() == [b"value", None]
        with client.pipeline() as pipe:
            pipe.watch("key")
            pipe.multi()
            pipe.get("key")
            pipe.execute()
    assert calls_of(registry) == {f"{kind}:127.0.0.1:{cache.port}": 5}


async def test_async_cache_is_protected(instrument: Instrument, cache: ValkeyServer, library: Any) -> None:
    kind, module, _ = library
    registry = instrument().registry
    async with async_client(module, cache) as client:
        await client.set("key", "value")
        async with client.pipeline() as pipe:
            assert await pipe.get("key").get("missing").execute() == [b"value", None]
    assert calls_of(registry) == {f"{kind}:127.0.0.1:{cache.port}": 2}


def test_subscribing_is_a_call_and_listening_counts_when_it_fails(
    instrument: Instrument, own_cache: ValkeyServer, library: Any
) -> None:
    kind, module, _ = library
    registry = instrument().registry
    with sync_client(module, own_cache) as client, client.pubsub() as pubsub:
        pubsub.subscribe("news")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        client.publish("news", "hello")
        assert pubsub.get_message(timeout=5)["data"] == b"hello"
        breaker = registry[f"{kind}:127.0.0.1:{own_cache.port}"]
        assert breaker.stats().successful == 2
        breaker.force_open("maintenance")
        assert pubsub.get_message(timeout=0.01) is None
        with pytest.raises(module.exceptions.ConnectionError) as caught:
            pubsub.subscribe("sport")
        assert isinstance(caught.value, CircuitOpenError)
        breaker.automatic("done")
        own_cache.kill()
        with pytest.raises(module.exceptions.ConnectionError):
            pubsub.get_message(timeout=5)
        assert breaker.stats().failed == 1


class ClusterServer(ValkeyServer):
    """A cluster of one server, which holds all slots."""

    def _command(self) -> Sequence[str | Path]:
        return [*super()._command(), "--cluster-enabled", "yes", "--cluster-port", str(closed_port())]


def test_subscription_of_a_cluster_is_left_alone(instrument: Instrument, library: Any) -> None:
    _, module, _ = library
    with ClusterServer() as server:
        with sync_client(module, server) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster works")
        cluster_of = getattr(module.cluster, "RedisCluster", None) or module.cluster.ValkeyCluster
        with cluster_of("127.0.0.1", server.port) as cluster:
            registry = instrument().registry
            with cluster.pubsub() as pubsub:
                pubsub.subscribe("news")
                assert pubsub.get_message(timeout=5)["type"] == "subscribe"
    assert len(registry) == 0


async def test_async_subscribing_is_a_call(instrument: Instrument, cache: ValkeyServer, library: Any) -> None:
    kind, module, _ = library
    registry = instrument().registry
    async with async_client(module, cache) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("news")
        assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
    assert calls_of(registry)[f"{kind}:127.0.0.1:{cache.port}"] == 1


def test_what_a_blocking_command_waits_is_not_slow(
    instrument: Instrument, cache: ValkeyServer, library: Any, tmp_path: Path
) -> None:
    kind, module, _ = library
    config = tmp_path / "slow.yaml"
    config.write_text(f"instrument: {{kinds: {{{kind}: {{slow_call_duration: 0.5}}}}}}")
    registry = instrument(config, registry=Registry()).registry
    with sync_client(module, cache) as client:
        assert client.blpop("nothing", timeout=1) is None
    calls = registry[f"{kind}:127.0.0.1:{cache.port}"].stats().calls
    assert {status: count for status, count in calls.items() if count} == {"success": 1}


def test_cache_client_that_was_made_before_is_protected(
    instrument: Instrument, cache: ValkeyServer, library: Any
) -> None:
    kind, module, _ = library
    with sync_client(module, cache) as client, client.pipeline() as pipe:
        registry = instrument().registry
        client.get("key")
        pipe.get("key").execute()
    assert calls_of(registry) == {f"{kind}:127.0.0.1:{cache.port}": 2}


def test_cache_rejection_is_an_error_of_the_client(
    instrument: Instrument, dead_cache: ValkeyServer, library: Any
) -> None:
    _, module, _ = library
    instrument()
    with sync_client(module, dead_cache) as client:
        for _ in range(3):
            with pytest.raises(module.exceptions.ConnectionError) as caught:
                client.get("key")
    assert isinstance(caught.value, CircuitOpenError)


def test_cache_client_that_the_program_protects_itself_is_not_protected_twice(
    instrument: Instrument, cache: ValkeyServer, library: Any
) -> None:
    _, module, integration = library
    registry, own = instrument().registry, CircuitBreaker("own")
    with sync_client(module, cache) as client:
        integration.protect(client, own)
        client.get("key")
        client.pipeline().get("key").execute()
    assert own.stats().successful == 2
    assert len(registry) == 0


async def test_threads_share_a_breaker(instrument: Instrument, cache: ValkeyServer) -> None:
    registry = instrument().registry
    with sync_client(redis, cache) as client:
        await asyncio.gather(*(asyncio.to_thread(client.get, "key") for _ in range(20)))
    assert calls_of(registry) == {f"redis:127.0.0.1:{cache.port}": 20}
