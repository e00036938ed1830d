"""SQLAlchemy behind a breaker, sync and async, with a PostgreSQL server that is stopped, frozen and restarted."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from packages.recloser.tests.integrations.databases.reading import outcomes
from sqlalchemy import Engine, create_engine, event, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from testing.servers import PostgresServer

from recloser import CircuitBreaker, CircuitOpenError, State
from recloser.integrations.sqlalchemy import protect
from recloser.testing import FakeClock

ROWS = text("SELECT generate_series(1, 1000)")


def engine_of(server: PostgresServer, breaker: CircuitBreaker, **options: Any) -> Engine:
    url = server.url.replace("postgresql://", "postgresql+psycopg://")
    return protect(create_engine(url, **options), breaker)


def async_engine_of(server: PostgresServer, breaker: CircuitBreaker, **options: Any) -> AsyncEngine:
    url = server.url.replace("postgresql://", "postgresql+asyncpg://")
    return protect(create_async_engine(url, **options), breaker)


@pytest.fixture
def engine(postgres: PostgresServer, breaker: CircuitBreaker) -> Iterator[Engine]:
    """A protected engine whose pool holds one connection that has been used."""
    engine = engine_of(postgres, breaker, pool_size=1, max_overflow=0, pool_timeout=0.02)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    yield engine
    engine.dispose()


@pytest.fixture
async def own_async_engine(own_postgres: PostgresServer, breaker: CircuitBreaker) -> AsyncIterator[AsyncEngine]:
    engine = async_engine_of(own_postgres, breaker, connect_args={"timeout": 5, "command_timeout": 5})
    yield engine
    await engine.dispose()


def test_each_statement_is_a_call_and_ends_of_transactions_are_not(engine: Engine, breaker: CircuitBreaker) -> None:
    before = breaker.stats().successful
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE items (n int PRIMARY KEY) ON COMMIT DROP"))
        connection.execute(text("INSERT INTO items VALUES (:n)"), [{"n": 1}, {"n": 2}])
        assert connection.execute(text("SELECT n FROM items WHERE false")).all() == []
    assert breaker.stats().successful == before + 3
    assert breaker.stats().in_flight == 0


@pytest.mark.parametrize("sql", ["SELEKT 1", "SELECT nonsense", "SELECT 1/0"])
def test_error_that_the_server_answers_with_is_a_success(engine: Engine, breaker: CircuitBreaker, sql: str) -> None:
    before = breaker.stats().successful
    with engine.connect() as connection, pytest.raises(exc.DBAPIError):
        connection.execute(text(sql))
    assert breaker.stats().successful == before + 1
    assert breaker.stats().failed == 0


def test_waiting_for_a_connection_of_the_pool_does_not_count(engine: Engine, breaker: CircuitBreaker) -> None:
    with engine.connect():
        before = outcomes(breaker)
        with pytest.raises(exc.TimeoutError):
            engine.connect()
        assert outcomes(breaker) == before


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_end_of_a_transaction_is_never_rejected(engine: Engine, breaker: CircuitBreaker, ending: str) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        breaker.force_open("maintenance")
        with pytest.raises(CircuitOpenError):
            connection.execute(text("SELECT 1"))
        getattr(connection, ending)()
    assert breaker.stats().rejected == 1


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_end_of_a_savepoint_is_never_rejected(engine: Engine, breaker: CircuitBreaker, ending: str) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        savepoint = connection.begin_nested()
        breaker.force_open("maintenance")
        getattr(savepoint, ending)()
        connection.commit()
    assert breaker.stats().rejected == 0


def test_commit_that_fails_because_the_server_is_gone_is_a_failure(
    own_postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    engine = engine_of(own_postgres, breaker)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        own_postgres.kill()
        with pytest.raises(exc.OperationalError):
            connection.commit()
    engine.dispose()
    assert breaker.stats().failed == 1


def test_commit_that_the_server_refuses_is_no_failure(engine: Engine, breaker: CircuitBreaker) -> None:
    with engine.connect() as connection:
        connection.execute(
            text("CREATE TEMPORARY TABLE deferred (n int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP")
        )
        connection.execute(text("INSERT INTO deferred VALUES (1), (1)"))
        with pytest.raises(exc.IntegrityError):
            connection.commit()
    assert breaker.stats().failed == 0


def test_failure_of_a_statement_counts_once(own_postgres: PostgresServer, breaker: CircuitBreaker) -> None:
    engine = engine_of(own_postgres, breaker)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        own_postgres.kill()
        with pytest.raises(exc.OperationalError):
            connection.execute(text("SELECT 1"))
    engine.dispose()
    assert breaker.stats().failed == 1


def test_server_killed_while_a_result_is_read_is_a_failure(
    own_postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    engine = engine_of(own_postgres, breaker)
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True, max_row_buffer=10).execute(ROWS)
        result.fetchone()
        cursor = result.cursor
        own_postgres.kill()
        with pytest.raises(exc.DBAPIError):
            result.fetchall()
        cursor.close()  # SQLAlchemy leaves it open with a connection that is lost, and psycopg warns of it
    engine.dispose()
    assert breaker.stats().failed == 1


async def test_async_streaming_result_is_read_though_the_circuit_is_open(
    postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    engine = async_engine_of(postgres, breaker)
    async with engine.connect() as connection:
        result = await connection.stream(ROWS)
        assert (await result.fetchone()) == (1,)
        breaker.force_open("maintenance")
        assert len([row async for row in result]) == 999
    await engine.dispose()


async def test_server_killed_while_an_async_result_is_read_is_a_failure(
    own_postgres: PostgresServer, own_async_engine: AsyncEngine, breaker: CircuitBreaker
) -> None:
    with pytest.raises((exc.DBAPIError, OSError)):
        async with own_async_engine.connect() as connection:
            result = await connection.stream(ROWS, execution_options={"max_row_buffer": 10})
            await result.fetchone()
            own_postgres.kill()
            async for _ in result:
                pass
    assert breaker.stats().failed == 1


async def test_async_commit_that_fails_because_the_server_is_gone_is_a_failure(
    own_postgres: PostgresServer, own_async_engine: AsyncEngine, breaker: CircuitBreaker
) -> None:
    async with own_async_engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        own_postgres.kill()
        with pytest.raises((exc.DBAPIError, OSError)):
            await connection.commit()
    assert breaker.stats().failed == 1


def test_server_that_is_killed_and_comes_back(
    own_postgres: PostgresServer, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    engine = engine_of(own_postgres, breaker)
    own_postgres.kill()
    for _ in range(3):
        with pytest.raises(exc.OperationalError):
            engine.connect()
    with pytest.raises(CircuitOpenError):
        engine.connect()
    own_postgres.start()
    clock.advance(10)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()
    assert breaker.state is State.CLOSED


async def test_frozen_server_is_a_failure_for_who_has_a_timeout(
    own_postgres: PostgresServer, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    engine = async_engine_of(own_postgres, breaker, connect_args={"timeout": 0.2, "command_timeout": 0.2})
    own_postgres.freeze()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with engine.connect():
                raise AssertionError("the block must not run")
    with pytest.raises(CircuitOpenError):
        async with engine.connect():
            raise AssertionError("the block must not run")
    own_postgres.thaw()
    clock.advance(10)
    slow = async_engine_of(own_postgres, breaker)
    async with slow.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await engine.dispose()
    await slow.dispose()


def test_stale_connection_is_found_by_the_ping_and_counts_once(
    own_postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    engine = engine_of(own_postgres, breaker, pool_pre_ping=True)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    own_postgres.restart()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()
    assert breaker.stats().failed == 1


def test_error_of_a_listener_of_the_callers_own_is_no_failure(engine: Engine, breaker: CircuitBreaker) -> None:
    @event.listens_for(engine, "before_cursor_execute")
    def refuse(*_: object) -> None:
        raise LookupError("not today")

    with engine.connect() as connection, pytest.raises(LookupError):
        connection.execute(text("SELECT 1"))
    assert breaker.stats().failed == 0
