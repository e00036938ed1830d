"""asyncpg behind a breaker, with a PostgreSQL server that is stopped, frozen and restarted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from packages.recloser.tests.integrations.databases.reading import outcomes
from packages.recloser.tests.support import settings
from testing.servers import PostgresServer

from recloser import CircuitBreaker, CircuitOpenError, State
from recloser.integrations.asyncpg import connect, create_pool
from recloser.testing import FakeClock


@pytest.fixture
async def connection(postgres: PostgresServer, breaker: CircuitBreaker) -> AsyncIterator[Any]:
    """A protected connection; the call of its connect is not counted here."""
    connection = await connect(postgres.url, breaker=breaker)
    await connection.execute("CREATE TEMPORARY TABLE items (n int PRIMARY KEY)")
    before = breaker.stats().successful
    assert before == 2
    yield connection
    await connection.close()


async def prepared_fetch(connection: Any) -> None:
    await (await connection.prepare("SELECT $1::int")).fetch(1)


async def prepared_executemany(connection: Any) -> None:
    await (await connection.prepare("INSERT INTO items VALUES ($1)")).executemany([(1,), (2,)])


CALLS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "execute": (lambda connection: connection.execute("SELECT 1"), 1),
    "executemany": (lambda connection: connection.executemany("INSERT INTO items VALUES ($1)", [(1,), (2,)]), 1),
    "fetch": (lambda connection: connection.fetch("SELECT 1"), 1),
    "fetchrow": (lambda connection: connection.fetchrow("SELECT 1 WHERE false"), 1),
    "fetchval": (lambda connection: connection.fetchval("SELECT 1"), 1),
    "copy": (lambda connection: connection.copy_records_to_table("items", records=[(1,), (2,)]), 1),
    "prepare and fetch": (prepared_fetch, 2),
    "prepare and executemany": (prepared_executemany, 2),
}


@pytest.mark.parametrize("way", CALLS)
async def test_each_statement_is_a_call(connection: Any, breaker: CircuitBreaker, way: str) -> None:
    ask, calls = CALLS[way]
    await ask(connection)
    assert outcomes(breaker) == {"success": 2 + calls}


@pytest.mark.parametrize(
    "sql",
    ["INSERT INTO items VALUES (1), (1)", "SELECT nonsense", "SELEKT 1", "SELECT 1/0"],
)
async def test_error_that_the_server_answers_with_is_a_success(
    connection: Any, breaker: CircuitBreaker, sql: str
) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute(sql)
    assert outcomes(breaker) == {"success": 3}


async def test_value_of_the_wrong_type_is_found_after_the_server_was_asked_for_the_type(
    connection: Any, breaker: CircuitBreaker
) -> None:
    with pytest.raises(asyncpg.DataError):
        await connection.fetch("SELECT $1::int", "no number")
    assert outcomes(breaker) == {"success": 3}


async def test_connection_that_is_closed_is_ignored(connection: Any, breaker: CircuitBreaker) -> None:
    await connection.close()
    with pytest.raises(asyncpg.InterfaceError):
        await connection.fetch("SELECT 1")
    assert outcomes(breaker) == {"success": 2, "ignored": 1}


async def test_statement_that_takes_too_long_is_a_failure(connection: Any, breaker: CircuitBreaker) -> None:
    with pytest.raises(TimeoutError):
        await connection.fetch("SELECT pg_sleep(10)", timeout=0.05)
    assert outcomes(breaker) == {"success": 2, "failure": 1}


async def test_cancelled_statement_is_ignored(connection: Any, breaker: CircuitBreaker) -> None:
    task = asyncio.ensure_future(connection.fetch("SELECT pg_sleep(10)"))
    while not breaker.stats().in_flight:  # noqa: ASYNC110 - the statement has no event
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(breaker) == {"success": 2, "ignored": 1}


async def test_opening_a_cursor_is_a_call_and_reading_on_is_not(connection: Any, breaker: CircuitBreaker) -> None:
    query = "SELECT generate_series(1, 120)"
    async with connection.transaction():
        before = breaker.stats().successful
        assert len([row async for row in connection.cursor(query)]) == 120
        cursor = await connection.cursor(query)
        assert await cursor.forward(100) == 100
        assert (await cursor.fetchrow())[0] == 101
        assert len(await cursor.fetch(50)) == 19
        assert breaker.stats().successful == before + 2


async def test_cursor_of_a_prepared_statement(connection: Any, breaker: CircuitBreaker) -> None:
    statement = await connection.prepare("SELECT generate_series(1, $1::int)")
    async with connection.transaction():
        before = breaker.stats().successful
        assert [row[0] async for row in statement.cursor(3, prefetch=2)] == [1, 2, 3]
        assert breaker.stats().successful == before + 1


async def test_cursor_without_rows_is_a_success(connection: Any, breaker: CircuitBreaker) -> None:
    async with connection.transaction():
        before = breaker.stats().successful
        assert [row async for row in connection.cursor("SELECT 1 WHERE false")] == []
        assert breaker.stats().successful == before + 1


async def test_open_circuit_sends_nothing(connection: Any, breaker: CircuitBreaker) -> None:
    statement = await connection.prepare("SELECT 1")
    async with connection.transaction():
        breaker.force_open("maintenance")
        for ask in (
            lambda: connection.fetch("SELECT 1"),
            lambda: connection.prepare("SELECT 2"),
            statement.fetch,
            lambda: anext(aiter(connection.cursor("SELECT 1"))),
            lambda: connection.copy_records_to_table("items", records=[(1,)]),
        ):
            with pytest.raises(CircuitOpenError):
                await ask()


@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_end_of_a_transaction_is_never_rejected(connection: Any, breaker: CircuitBreaker, ending: str) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO items VALUES (1)")
    breaker.force_open("maintenance")
    await getattr(transaction, ending)()
    breaker.automatic("done")
    assert await connection.fetchval("SELECT count(*) FROM items") == (1 if ending == "commit" else 0)


async def test_savepoint_is_released_though_the_circuit_is_open(connection: Any, breaker: CircuitBreaker) -> None:
    async with connection.transaction(), connection.transaction():
        await connection.execute("INSERT INTO items VALUES (1)")
        breaker.force_open("maintenance")
    breaker.automatic("done")
    assert await connection.fetchval("SELECT count(*) FROM items") == 1


async def test_server_that_is_killed_and_comes_back(
    own_postgres: PostgresServer, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    connection = await connect(own_postgres.url, breaker=breaker)
    statement = await connection.prepare("SELECT 1")
    own_postgres.kill()
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        await statement.fetch()
    for _ in range(2):
        with pytest.raises(OSError):
            await connect(own_postgres.url, breaker=breaker)
    with pytest.raises(CircuitOpenError):
        await connect(own_postgres.url, breaker=breaker)
    own_postgres.start()
    clock.advance(10)
    again = await connect(own_postgres.url, breaker=breaker)
    assert await again.fetchval("SELECT 1") == 1
    assert breaker.state is State.CLOSED
    await again.close()
    connection.terminate()


async def test_server_killed_while_a_cursor_is_read_is_a_failure(
    own_postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    connection = await connect(own_postgres.url, breaker=breaker)
    transaction = connection.transaction()
    await transaction.start()
    rows = aiter(connection.cursor("SELECT generate_series(1, 120)"))
    await anext(rows)
    own_postgres.kill()
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        async for _ in rows:
            pass
    assert breaker.stats().failed == 1
    connection.terminate()


async def test_frozen_server_is_a_failure_for_who_has_a_timeout(
    own_postgres: PostgresServer, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    connection = await connect(own_postgres.url, breaker=breaker, command_timeout=0.2)
    own_postgres.freeze()
    with pytest.raises(TimeoutError):
        await connection.fetch("SELECT 1")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await connect(own_postgres.url, breaker=breaker, timeout=0.2)
    with pytest.raises(CircuitOpenError):
        await connect(own_postgres.url, breaker=breaker, timeout=0.2)
    own_postgres.thaw()
    clock.advance(10)
    again = await connect(own_postgres.url, breaker=breaker)
    assert await again.fetchval("SELECT 1") == 1
    await again.close()
    connection.terminate()


async def test_waiting_for_a_connection_of_the_pool_does_not_count(
    postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    async with create_pool(postgres.url, breaker=breaker, min_size=1, max_size=1) as pool, pool.acquire():
        before = outcomes(breaker)
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.02)
        assert outcomes(breaker) == before


async def test_pool_takes_connections_back_though_the_circuit_is_open(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    breaker = CircuitBreaker("db", settings(), clock=clock)
    async with create_pool(postgres.url, breaker=breaker, min_size=1, max_size=1) as pool:
        with contextlib.suppress(CircuitOpenError):
            async with pool.acquire() as connection:
                breaker.force_open("maintenance")
                await connection.fetch("SELECT 1")
        breaker.automatic("done")
        assert await pool.fetchval("SELECT 1") == 1
