"""psycopg behind a breaker, sync and async, with a PostgreSQL server that is stopped, frozen and restarted."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from packages.recloser.tests.integrations.databases.reading import outcomes
from psycopg_pool import ConnectionPool, PoolTimeout
from testing.servers import PostgresServer

from recloser import CircuitBreaker, CircuitOpenError, State
from recloser.integrations.psycopg import protected
from recloser.testing import FakeClock


@pytest.fixture
def connection(postgres: PostgresServer, breaker: CircuitBreaker) -> Iterator[psycopg.Connection[Any]]:
    """A protected connection, after two calls."""
    with protected(psycopg.Connection, breaker).connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE items (n int PRIMARY KEY)")
        yield connection


@pytest.fixture
async def async_connection(
    postgres: PostgresServer, breaker: CircuitBreaker
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """The same, async."""
    made = await protected(psycopg.AsyncConnection, breaker).connect(postgres.url, autocommit=True)
    async with made as connection:
        await connection.execute("CREATE TEMPORARY TABLE items (n int PRIMARY KEY)")
        yield connection


def test_each_statement_is_a_call(connection: psycopg.Connection[Any], breaker: CircuitBreaker) -> None:
    connection.execute("SELECT 1").fetchall()
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO items VALUES (%s)", [(1,), (2,)])
    with connection.transaction(), connection.cursor("named") as cursor:
        cursor.execute("SELECT * FROM items")
        assert cursor.fetchall() == [(1,), (2,)]
    assert outcomes(breaker) == {"success": 5}


@pytest.mark.parametrize("sql", ["INSERT INTO items VALUES (1), (1)", "SELECT nonsense", "SELEKT 1"])
def test_error_that_the_server_answers_with_is_a_success(
    connection: psycopg.Connection[Any], breaker: CircuitBreaker, sql: Any
) -> None:
    with pytest.raises(psycopg.Error):
        connection.execute(sql)
    assert outcomes(breaker) == {"success": 3}


def test_statement_timeout_is_a_failure(connection: psycopg.Connection[Any], breaker: CircuitBreaker) -> None:
    connection.execute("SET statement_timeout = 20")
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(10)")
    assert outcomes(breaker) == {"success": 3, "failure": 1}


def test_copy_is_one_call_to_its_end(
    connection: psycopg.Connection[Any], breaker: CircuitBreaker, clock: FakeClock
) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY items FROM STDIN") as copy:
        clock.advance(60)  # what the caller takes is not the server's
        copy.write_row([1])
        assert breaker.stats().in_flight == 1
    with connection.cursor() as cursor, cursor.copy("COPY items TO STDOUT") as copy:
        assert list(copy.rows()) == [("1",)]
    assert outcomes(breaker) == {"success": 4}
    assert breaker.stats().duration_sum == 0


async def test_async_copy_is_one_call_to_its_end(
    async_connection: psycopg.AsyncConnection[Any], breaker: CircuitBreaker
) -> None:
    async with async_connection.cursor() as cursor, cursor.copy("COPY items FROM STDIN") as copy:
        await copy.write_row([1])
        assert breaker.stats().in_flight == 1
    assert outcomes(breaker) == {"success": 3}


def test_copy_that_its_caller_breaks_off_is_ignored(
    connection: psycopg.Connection[Any], breaker: CircuitBreaker
) -> None:
    with pytest.raises(FileNotFoundError), connection.cursor() as cursor, cursor.copy("COPY items FROM STDIN"):
        raise FileNotFoundError("no such file")
    assert outcomes(breaker) == {"success": 2, "ignored": 1}


def test_copy_that_the_server_refuses_is_an_answer(
    connection: psycopg.Connection[Any], breaker: CircuitBreaker
) -> None:
    with (
        pytest.raises(psycopg.errors.UniqueViolation),
        connection.cursor() as cursor,
        cursor.copy("COPY items FROM STDIN") as copy,
    ):
        copy.write_row([1])
        copy.write_row([1])
    assert outcomes(breaker) == {"success": 3}


def test_stream_is_one_call_to_its_end(
    connection: psycopg.Connection[Any], breaker: CircuitBreaker, clock: FakeClock
) -> None:
    with connection.cursor() as cursor:
        rows = cursor.stream("SELECT generate_series(1, 3)")
        assert next(rows) == (1,)
        assert breaker.stats().in_flight == 1
        clock.advance(60)
        assert list(rows) == [(2,), (3,)]
    assert outcomes(breaker) == {"success": 3}
    assert breaker.stats().duration_sum == 0


def test_stream_that_is_left_early_is_ignored(connection: psycopg.Connection[Any], breaker: CircuitBreaker) -> None:
    with connection.cursor() as cursor:
        rows = cursor.stream("SELECT generate_series(1, 3)")
        next(rows)
        rows.close()  # type: ignore[attr-defined]
    assert outcomes(breaker) == {"success": 2, "ignored": 1}
    assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_async_stream_is_one_call_to_its_end(
    async_connection: psycopg.AsyncConnection[Any], breaker: CircuitBreaker
) -> None:
    async with async_connection.cursor() as cursor:
        assert [row async for row in cursor.stream("SELECT generate_series(1, 3)")] == [(1,), (2,), (3,)]
    assert outcomes(breaker) == {"success": 3}


def test_open_circuit_sends_nothing(connection: psycopg.Connection[Any], breaker: CircuitBreaker) -> None:
    breaker.force_open("maintenance")
    with connection.cursor() as cursor:
        with pytest.raises(CircuitOpenError):
            cursor.execute("SELECT 1")
        with pytest.raises(CircuitOpenError), cursor.copy("COPY items TO STDOUT"):
            raise AssertionError("the block must not run")
        with pytest.raises(CircuitOpenError):
            next(cursor.stream("SELECT 1"))


@pytest.mark.parametrize("ending", ["COMMIT", " rollback; ", b"ROLLBACK TO SAVEPOINT before"])
def test_end_of_a_transaction_is_never_rejected(
    connection: psycopg.Connection[Any], breaker: CircuitBreaker, ending: Any
) -> None:
    connection.execute("BEGIN")
    connection.execute("SAVEPOINT before")
    breaker.force_open("maintenance")
    connection.execute(ending)
    breaker.automatic("done")
    assert outcomes(breaker) == {"success": 4}


def test_end_of_a_transaction_by_its_block_is_never_rejected(
    connection: psycopg.Connection[Any], breaker: CircuitBreaker
) -> None:
    with connection.transaction(), connection.transaction():
        connection.execute("INSERT INTO items VALUES (1)")
        breaker.force_open("maintenance")
    breaker.automatic("done")
    assert connection.execute("SELECT count(*) FROM items").fetchone() == (1,)


def test_server_that_is_killed_and_comes_back(
    own_postgres: PostgresServer, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    Connection = protected(psycopg.Connection, breaker)
    with Connection.connect(own_postgres.url) as connection:
        connection.execute("SELECT 1")
        own_postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            Connection.connect(own_postgres.url)
    with pytest.raises(CircuitOpenError):
        Connection.connect(own_postgres.url)
    own_postgres.start()
    clock.advance(10)
    with Connection.connect(own_postgres.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert breaker.state is State.CLOSED


def test_server_killed_during_a_copy_is_a_failure(own_postgres: PostgresServer, breaker: CircuitBreaker) -> None:
    with protected(psycopg.Connection, breaker).connect(own_postgres.url) as connection:
        cursor = connection.cursor()
        with (
            pytest.raises(psycopg.OperationalError),
            cursor.copy("COPY (SELECT generate_series(1, 10000000)) TO STDOUT") as copy,
        ):
            copy.read()
            own_postgres.kill()
            for _ in copy:
                pass
        connection.close()
    assert outcomes(breaker) == {"success": 1, "failure": 1}


def test_server_killed_during_a_stream_is_a_failure(own_postgres: PostgresServer, breaker: CircuitBreaker) -> None:
    with protected(psycopg.Connection, breaker).connect(own_postgres.url) as connection:
        cursor = connection.cursor()
        rows = cursor.stream("SELECT generate_series(1, 10000000)")
        next(rows)
        own_postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            for _ in rows:
                pass
        connection.close()
    assert outcomes(breaker) == {"success": 1, "failure": 1}


def test_frozen_server_is_a_failure_for_who_has_a_timeout(
    own_postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    own_postgres.freeze()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        protected(psycopg.Connection, breaker).connect(own_postgres.url, connect_timeout=2)
    assert outcomes(breaker) == {"failure": 1}


async def test_async_server_that_is_killed(own_postgres: PostgresServer, breaker: CircuitBreaker) -> None:
    connection = await protected(psycopg.AsyncConnection, breaker).connect(own_postgres.url)
    own_postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        await connection.execute("SELECT 1")
    await connection.close()
    assert outcomes(breaker) == {"success": 1, "failure": 1}


def test_waiting_for_a_connection_of_the_pool_does_not_count(postgres: PostgresServer, breaker: CircuitBreaker) -> None:
    kind = protected(psycopg.Connection, breaker)
    with ConnectionPool(postgres.url, connection_class=kind, min_size=1, max_size=1) as pool, pool.connection():
        before = outcomes(breaker)
        with pytest.raises(PoolTimeout):
            pool.getconn(timeout=0.02)
        assert outcomes(breaker) == before
