"""The condition of the service can be read while its database hangs."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from incident_manager.metrics import condition
from incident_manager.metrics.condition import ConditionReader
from incident_manager.notify.dispatcher import Dispatcher
from incident_manager.store.database import Store
from incident_manager.store.journal import Journal
from recloser import CircuitBreaker, Registry
from recloser.testing import FakeClock


@pytest.fixture
def url(postgres_url: str) -> str:
    """A database that hangs while somebody holds a lock on its tables."""
    return postgres_url


async def test_condition_is_told_without_the_backlog_while_the_database_hangs(
    store: Store, url: str, breaker: CircuitBreaker, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition, "PATIENCE", 0.3)
    journal = Journal(tmp_path / "journal.db", max_alerts=10, max_bytes=10_000, clock=clock)
    dispatcher = Dispatcher(store.outbox, {}, clock=clock)
    reader = ConditionReader(Registry(clock=clock), store, journal, dispatcher, clock, dict)
    assert (await reader.read()).is_healthy
    address, _, name = url.partition("?search_path=")
    with psycopg.connect(f"{address}?options=-csearch_path%3D{name}") as other:
        other.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(3):
            found = await reader.read()
    assert (found.backlog, found.is_healthy) == (None, False)
    assert breaker.stats().failed == 0, "that nobody waited for the answer is no failure of the database"
    assert (await reader.read()).is_healthy
    await journal.close()
