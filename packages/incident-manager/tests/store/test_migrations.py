"""A database is brought to the present schema at start, wherever the program runs."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from incident_manager.domain.errors import StoreMigrationError
from incident_manager.store import schema
from incident_manager.store.database import Store
from incident_manager.store.migrate import alembic_config, migrate
from incident_manager.store.repository import UnitOfWork
from recloser import CircuitBreaker


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


def definitions(connection: Connection) -> dict[str, str]:
    """Tables and indexes as SQLite keeps them, without spaces that mean nothing."""
    rows = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'")
    )
    return {row.name: " ".join(row.sql.split()) for row in rows if row.name != "alembic_version"}


def test_migrations_give_the_schema_of_the_program(tmp_path: Path) -> None:
    migrated, made = create_engine(f"sqlite:///{tmp_path}/a.db"), create_engine(f"sqlite:///{tmp_path}/b.db")
    with migrated.begin() as first, made.begin() as second:
        migrate(first)
        schema.metadata.create_all(second)
        assert compare_metadata(MigrationContext.configure(first), schema.metadata) == []
        assert definitions(first).keys() == definitions(second).keys()
        for name, definition in definitions(second).items():
            if "INDEX" in definition:
                assert definitions(first)[name] == definition
    migrated.dispose()
    made.dispose()


def test_there_is_one_newest_migration() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


def test_every_migration_can_be_undone(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as connection:
        migrate(connection)
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()


async def test_starting_again_changes_nothing(store: Store, url: str, breaker: CircuitBreaker) -> None:
    async def read(unit: UnitOfWork) -> dict[str, str]:
        return await unit.connection.run_sync(definitions)

    before = await store.read(read)
    again = Store(url, breaker)
    await again.start()
    after = await again.read(read)
    await again.close()
    assert {"incidents", "alerts", "timeline", "outbox", "uq_incidents_open_fingerprint"} <= before.keys()
    assert after == before


async def test_a_database_of_a_later_version_is_left_alone(url: str, breaker: CircuitBreaker, tmp_path: Path) -> None:
    store = Store(url, breaker)
    await store.start()
    await store.close()
    database = sqlite3.connect(tmp_path / "data/incidents.db")
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    database.close()
    newer = Store(url, breaker)
    with pytest.raises(StoreMigrationError, match="made by a later version"):
        await newer.start()
    await newer.close()


async def test_a_failed_migration_leaves_nothing_half_made(url: str, breaker: CircuitBreaker, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    database = sqlite3.connect(tmp_path / "data/incidents.db")
    database.execute("CREATE TABLE outbox (of_somebody_else INTEGER)")
    database.close()
    store = Store(url, breaker)
    with pytest.raises(Exception, match="table outbox already exists"):
        await store.start()
    await store.close()
    database = sqlite3.connect(tmp_path / "data/incidents.db")
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("outbox",)]
    database.close()


PROGRAM = """
import asyncio, sys
from recloser import CircuitBreaker
from incident_manager.store.database import Store

async def main():
    store = Store(sys.argv[1], CircuitBreaker("database"))
    await store.start()
    await store.close()

asyncio.run(main())
"""


def test_several_processes_may_start_at_once_from_any_folder(url: str, tmp_path: Path) -> None:
    program = [sys.executable, "-W", "error", "-c", PROGRAM, url]
    started = [subprocess.Popen(program, cwd="/", stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1].decode() for process in started]
    assert errors == ["", ""]
    database = sqlite3.connect(tmp_path / "data/incidents.db")
    assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    database.close()
