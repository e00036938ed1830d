"""What is particular to PostgreSQL: many writers, several replicas, and a server that may be away or hang."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from testing.servers import PostgresServer

from incident_manager.domain.alert import new_alert
from incident_manager.domain.errors import StoreMigrationError, StoreUnavailableError
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.store import schema
from incident_manager.store.database import Store
from incident_manager.store.migrate import Migrated, alembic_config
from incident_manager.store.paging import IncidentFilter
from incident_manager.store.postgres import Connections
from incident_manager.store.repository import UnitOfWork
from recloser import CircuitBreaker, State, presets

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture(scope="module")
def fragile() -> Iterator[PostgresServer]:
    """A server that tests may hurt."""
    with PostgresServer() as server:
        yield server


@asynccontextmanager
async def opened(url: str, breaker: CircuitBreaker, **connections: float) -> AsyncIterator[Store]:
    store = Store(url, breaker, connections=Connections(**connections))  # type: ignore[arg-type]
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def incident(name: str = "a") -> Incident:
    return open_from_alert(new_alert(source="s", title=name, received_at=NOW))[0]


async def titles(store: Store) -> list[str]:
    page = await store.read(lambda unit: unit.list(IncidentFilter(), 100))
    return sorted(found.title for found in page.incidents)


def server_side(url: str) -> psycopg.Connection:
    """A connection of somebody else to the same schema."""
    address, _, name = url.partition("?search_path=")
    return psycopg.connect(f"{address}?options=-csearch_path%3D{name}", autocommit=True)


# Migrations


async def test_migrations_give_the_schema_of_the_program_and_can_be_undone(store: Store) -> None:
    def check(connection: Connection) -> None:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        indexes = {index["name"]: index for index in inspect(connection).get_indexes("incidents")}
        assert indexes["uq_incidents_open_fingerprint"]["unique"]
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]

    await store.run(lambda unit: unit.connection.run_sync(check))


async def test_of_many_that_start_at_once_one_migrates(url: str, breaker: CircuitBreaker) -> None:
    stores = [Store(url, breaker) for _ in range(4)]
    migrated = await asyncio.gather(*(store.start() for store in stores))
    for store in stores:
        await store.close()
    befores = [one.before for one in migrated]
    assert befores.count(None) == 1
    assert len({one.after for one in migrated}) == 1


async def test_a_database_of_a_later_version_is_left_alone(store: Store, url: str, breaker: CircuitBreaker) -> None:
    with server_side(url) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreMigrationError, match="made by a later version"):
        await Store(url, breaker).start()


async def test_a_failed_migration_leaves_nothing_half_made(url: str, breaker: CircuitBreaker) -> None:
    with server_side(url) as other:
        other.execute("CREATE TABLE outbox (of_somebody_else integer)")
        with pytest.raises(DBAPIError, match='"outbox" already exists'):
            await Store(url, breaker).start()
        tables = other.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema").fetchall()
    assert tables == [("outbox",)]


async def test_starting_again_changes_nothing(store: Store, url: str, breaker: CircuitBreaker) -> None:
    async with opened(url, breaker):
        again = await Store(url, breaker).start()
    assert again.before == again.after is not None
    assert again == Migrated(again.after, again.after)


# Several writers


async def test_a_deadlock_is_resolved_and_both_are_stored(store: Store, breaker: CircuitBreaker) -> None:
    first, second = incident("a"), incident("b")
    await store.run(lambda unit: unit.insert(first, second))
    held, attempts = asyncio.Barrier(2), 0

    async def lock(unit: UnitOfWork, one: Incident, other: Incident) -> None:
        nonlocal attempts
        attempts += 1
        await unit.get(one.id)
        if attempts <= 2:
            await held.wait()
        await unit.get(other.id)
        await unit.connection.execute(text("UPDATE incidents SET alert_count = alert_count + 1"))

    await asyncio.gather(
        store.run(lambda unit: lock(unit, first, second)), store.run(lambda unit: lock(unit, second, first))
    )
    found = await store.read(lambda unit: unit.find_all_open([first.fingerprint, second.fingerprint]))
    assert [one.alert_count for one in found.values()] == [3, 3]
    assert attempts == 3
    assert breaker.stats().failed == 0, "a deadlock is no failure of the server"


async def test_a_reader_cannot_write_and_sees_one_state(store: Store) -> None:
    await store.run(lambda unit: unit.insert(incident("before")))

    async def read(unit: UnitOfWork) -> list[int]:
        seen = [len((await unit.list(IncidentFilter(), 10)).incidents)]
        await store.run(lambda other: other.insert(incident("meanwhile")))
        return [*seen, len((await unit.list(IncidentFilter(), 10)).incidents)]

    assert await store.read(read) == [1, 1]
    with pytest.raises(StoreUnavailableError):
        await store.read(lambda unit: unit.insert(incident("refused")))


async def test_what_a_hung_replica_has_locked_is_free_again(url: str, store: Store, breaker: CircuitBreaker) -> None:
    """The server ends a transaction that is idle too long: its process may be frozen and never come back."""
    locked = incident()
    await store.run(lambda unit: unit.insert(locked))
    with server_side(url) as frozen:
        frozen.execute("SET idle_in_transaction_session_timeout = 300")  # as ours have, only shorter
        frozen.execute("BEGIN")
        frozen.execute("SELECT * FROM incidents FOR UPDATE")
        assert (await store.run(lambda unit: unit.get(locked.id))).id == locked.id
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            frozen.execute("SELECT 1")


# A server that is away


async def test_a_server_that_is_away_is_unavailable_at_once(breaker: CircuitBreaker, fragile: PostgresServer) -> None:
    fragile.stop()
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await Store(fragile.url, breaker).start()
    fragile.start()


async def test_connections_that_the_server_closed_are_replaced_without_an_error(
    breaker: CircuitBreaker, fragile: PostgresServer
) -> None:
    async with opened(fragile.url, breaker) as store:
        before = await titles(store)
        fragile.restart()
        await store.run(lambda unit: unit.insert(incident("after the restart")))
        assert await titles(store) == sorted([*before, "after the restart"])
        assert breaker.stats().failed == 0


@pytest.mark.parametrize("hurt", ["kill", "freeze"])
async def test_a_transaction_in_which_the_server_goes_away_fails_within_its_time(
    breaker: CircuitBreaker, fragile: PostgresServer, hurt: str
) -> None:
    async with opened(fragile.url, breaker, transaction_timeout=1.0) as store:

        async def work(unit: UnitOfWork) -> None:
            await unit.insert(incident(hurt))
            await asyncio.to_thread(getattr(fragile, hurt))

        started = time.monotonic()
        try:
            with pytest.raises(StoreUnavailableError):
                await store.run(work)
            assert time.monotonic() - started < 5
            assert breaker.stats().failed == 1
        finally:
            fragile.thaw()
            fragile.start()
        await store.run(lambda unit: unit.insert(incident(f"after {hurt}")))
        if hurt == "kill":  # a frozen server finds the commit among what it was sent: nobody can tell beforehand
            assert hurt not in await titles(store)


async def test_a_server_that_hangs_from_the_beginning_opens_the_circuit(fragile: PostgresServer) -> None:
    breaker = CircuitBreaker("database", presets.database(failure_threshold=2))
    async with opened(fragile.url, breaker, connect_timeout=0.5, transaction_timeout=0.5) as store:
        await titles(store)
        fragile.freeze()
        try:
            for _ in range(2):
                with pytest.raises(StoreUnavailableError):
                    await store.run(lambda unit: unit.insert(incident()))
            assert breaker.state is State.OPEN
        finally:
            fragile.thaw()


@pytest.mark.parametrize(
    ("statement", "failures"),
    [
        ("SELECT nonsense", 0),
        ("SELECT 1/0", 0),
        ("INSERT INTO alembic_version VALUES (repeat('x', 99))", 0),
        ("SELECT pg_sleep(9)", 1),
        ("SELECT pg_terminate_backend(pg_backend_pid())", 1),
    ],
)
async def test_only_what_the_server_cannot_do_counts_against_it(
    url: str, breaker: CircuitBreaker, statement: str, failures: int
) -> None:
    async with opened(url, breaker, transaction_timeout=1.0) as store:
        with pytest.raises(StoreUnavailableError if failures else DBAPIError):
            await store.run(lambda unit: unit.connection.execute(text(statement)))
        assert breaker.stats().failed == failures


async def test_a_refused_login_is_unavailable_and_keeps_the_password(
    postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    url = postgres.url.replace("postgres@", "nobody:secret@")
    with pytest.raises(StoreUnavailableError) as caught:
        await Store(url, breaker).start()
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


async def test_a_parameter_that_makes_no_sense_is_not_taken_for_an_outage(
    postgres: PostgresServer, breaker: CircuitBreaker
) -> None:
    with pytest.raises(Exception, match="sslmode") as caught:
        await Store(f"{postgres.url}?sslmode=nonsense", breaker).start()
    assert not isinstance(caught.value, StoreUnavailableError)


async def test_replicas_never_deadlock_over_the_same_incidents(
    new_postgres_url: Callable[[], str], breaker: CircuitBreaker
) -> None:
    """Each replica takes the incidents in another order; the store takes them in one."""
    url = new_postgres_url()
    async with opened(url, breaker) as one, opened(url, breaker) as two:
        several = [incident(str(number)) for number in range(20)]
        await one.run(lambda unit: unit.insert(*several))
        keys = [each.fingerprint for each in several]

        async def touch(store: Store, order: list[str]) -> int:
            attempts = 0

            async def work(unit: UnitOfWork) -> None:
                nonlocal attempts
                attempts += 1
                for found in (await unit.find_all_open(order)).values():
                    await unit.update(found, found.version)

            await store.run(work)
            return attempts

        touches = [touch(store, order) for store, order in ((one, keys), (two, keys[::-1])) for _ in range(5)]
        assert set(await asyncio.gather(*touches)) == {1}
