"""What is particular to SQLite: one file, one writer at a time, and a disk that may be full."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from incident_manager.domain.alert import new_alert
from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.store.database import Store
from incident_manager.store.paging import IncidentFilter
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import IS_OPEN
from recloser import CircuitBreaker, State, presets
from recloser.testing import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


def incident(name: str = "a") -> Incident:
    return open_from_alert(new_alert(source="s", title=name, received_at=NOW))[0]


async def titles(store: Store) -> list[str]:
    page = await store.read(lambda unit: unit.list(IncidentFilter(), 100))
    return sorted(found.title for found in page.incidents)


async def test_a_database_held_by_another_process_is_unavailable(
    store: Store, breaker: CircuitBreaker, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "data/incidents.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreUnavailableError, match="cannot be used; try again in") as caught:
            await store.run(lambda unit: unit.insert(incident()))
    finally:
        other.close()
    assert isinstance(caught.value.__cause__, OperationalError)
    assert breaker.stats().failed == 1
    await store.run(lambda unit: unit.insert(incident()))
    assert await titles(store) == ["a"]


async def test_a_full_disk_is_unavailable_and_stores_nothing(store: Store, breaker: CircuitBreaker) -> None:
    async def limit(unit: UnitOfWork, pages: int) -> None:
        await unit.connection.execute(text(f"PRAGMA max_page_count = {pages}"))

    huge = new_alert(source="s", title="t", received_at=NOW, description="x" * 4_000_000)
    await store.run(lambda unit: limit(unit, 100))
    with pytest.raises(StoreUnavailableError):
        await store.run(lambda unit: unit.add_alert(huge, None))
    assert breaker.stats().failed == 1
    await store.run(lambda unit: limit(unit, 1_000_000))
    await store.run(lambda unit: unit.add_alert(huge, None))


async def test_a_file_that_is_no_database_is_unavailable_at_start(
    url: str, breaker: CircuitBreaker, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/incidents.db").write_bytes(b"no database at all" * 1000)
    store = Store(url, breaker)
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await store.start()
    await store.close()


async def test_a_folder_that_cannot_be_made_is_unavailable_at_start(breaker: CircuitBreaker, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(f"sqlite:///{tmp_path}/file/incidents.db", breaker)
    with pytest.raises(StoreUnavailableError, match="cannot be made"):
        await store.start()
    await store.close()


async def test_failures_open_the_breaker_and_a_working_database_closes_it(
    url: str, tmp_path: Path, clock: FakeClock
) -> None:
    breaker = CircuitBreaker("database", presets.database(failure_threshold=2, success_threshold=1), clock=clock)
    store = Store(url, breaker, busy_timeout=0.01)
    await store.start()
    other = sqlite3.connect(tmp_path / "data/incidents.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await store.run(lambda unit: unit.insert(incident()))
        with pytest.raises(StoreUnavailableError) as caught:
            await store.run(lambda unit: unit.insert(incident()))
        assert (breaker.state, caught.value.retry_after) == (State.OPEN, breaker.settings.open_for)
        other.close()
        clock.advance(breaker.settings.open_for)
        await store.run(lambda unit: unit.insert(incident()))
        assert breaker.state is State.CLOSED
    finally:
        other.close()
        await store.close()


async def test_writes_survive_a_loss_of_power(store: Store) -> None:
    """Full synchronous mode: the log reaches the disk before `run` returns."""
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}

    async def read(unit: UnitOfWork) -> dict[str, object]:
        return {name: await unit.connection.scalar(text(f"PRAGMA {name}")) for name in pragmas}

    assert await store.run(read) == pragmas


async def test_open_incidents_of_very_many_fingerprints_are_found_at_once(store: Store) -> None:
    several = [incident(str(number)) for number in range(3)]
    await store.run(lambda unit: unit.insert(*several))
    wanted = [found.fingerprint for found in several] + [f"{number:064x}" for number in range(3000)]

    async def work(unit: UnitOfWork) -> dict[str, Incident]:
        driver = (await unit.connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver._execute(driver._conn.setlimit, sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 2000)
        return await unit.find_all_open(wanted)

    assert await store.read(work) == {one.fingerprint: one for one in several}


async def test_the_look_up_of_an_alert_uses_the_index(store: Store) -> None:
    async def plan(unit: UnitOfWork) -> str:
        query = f"EXPLAIN QUERY PLAN SELECT * FROM incidents WHERE fingerprint IN ('a') AND {IS_OPEN.text}"
        return " ".join(row.detail for row in await unit.connection.execute(text(query)))

    assert "USING INDEX uq_incidents_open_fingerprint" in await store.read(plan)
