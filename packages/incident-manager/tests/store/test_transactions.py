"""A transaction is stored whole or not at all, and what a caller does wrong is not the database's failure."""

import asyncio
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from incident_manager.domain.alert import new_alert
from incident_manager.domain.errors import (
    DuplicateOpenIncidentError,
    IncidentNotFoundError,
    StoreUnavailableError,
)
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.store.database import Store
from incident_manager.store.paging import IncidentFilter, Page
from incident_manager.store.postgres import Connections
from incident_manager.store.repository import UnitOfWork
from recloser import CircuitBreaker, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def incident(name: str = "a") -> Incident:
    return open_from_alert(new_alert(source="s", title=name, received_at=NOW))[0]


async def everything(unit: UnitOfWork) -> Page:
    return await unit.list(IncidentFilter(), 100)


async def titles(store: Store) -> list[str]:
    return sorted(found.title for found in (await store.read(everything)).incidents)


async def test_what_run_returned_from_is_still_there_after_a_restart(
    store: Store, url: str, breaker: CircuitBreaker
) -> None:
    new = incident()
    await store.run(lambda unit: unit.insert(new))
    await store.close()
    again = Store(url, breaker)
    await again.start()
    try:
        assert await again.read(lambda unit: unit.get(new.id)) == new
    finally:
        await again.close()


async def test_an_error_undoes_all_of_the_work(store: Store) -> None:
    async def work(unit: UnitOfWork) -> None:
        await unit.insert(incident())
        raise KeyError("changed my mind")

    with pytest.raises(KeyError, match="changed my mind"):
        await store.run(work)
    assert await titles(store) == []


async def test_a_cancelled_transaction_leaves_nothing_and_lets_the_next_one_in(
    store: Store, breaker: CircuitBreaker
) -> None:
    inserted = asyncio.Event()

    async def work(unit: UnitOfWork) -> None:
        await unit.insert(incident("cancelled"))
        inserted.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.run(work))
    await inserted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.run(lambda unit: unit.insert(incident("next")))
    assert await titles(store) == ["next"]
    assert (breaker.stats().in_flight, breaker.stats().calls["ignored"]) == (0, 1)


@pytest.mark.parametrize("steps", range(1, 40, 3))
async def test_a_transaction_cancelled_at_any_moment_is_whole_or_absent(store: Store, steps: int) -> None:
    async def work(unit: UnitOfWork) -> None:
        await unit.insert(incident("one"))
        await unit.insert(incident("two"))

    task = asyncio.create_task(store.run(work))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.run(lambda unit: unit.insert(incident("next")))
    assert await titles(store) in (["next"], ["next", "one", "two"])


async def test_many_writers_take_turns(store: Store) -> None:
    async def work(unit: UnitOfWork, name: str) -> None:
        assert not [found for found in (await everything(unit)).incidents if found.title == name]
        await unit.insert(incident(name))

    await asyncio.gather(*(store.run(lambda unit, name=str(n): work(unit, name)) for n in range(30)))
    assert len(await titles(store)) == 30


async def test_a_reader_does_not_wait_for_a_writer_and_sees_only_what_is_committed(store: Store) -> None:
    inserted, may_end = asyncio.Event(), asyncio.Event()

    async def work(unit: UnitOfWork) -> None:
        await unit.insert(incident())
        inserted.set()
        await may_end.wait()

    writing = asyncio.create_task(store.run(work))
    await inserted.wait()
    before = await titles(store)
    may_end.set()
    await writing
    assert (before, await titles(store)) == ([], ["a"])


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises((OperationalError, StoreUnavailableError)):
        await store.read(lambda unit: unit.insert(incident()))
    assert await titles(store) == []


@pytest.mark.parametrize(("method", "at_once"), [("run", 1), ("read", 4)])
async def test_a_caller_that_waits_too_long_for_its_turn_is_told_so(
    url: str, breaker: CircuitBreaker, method: str, at_once: int
) -> None:
    connections = Connections(write_connections=1, read_connections=4)  # as many as SQLite has
    store = Store(url, breaker, queue_timeout=0.01, connections=connections)
    await store.start()
    use = getattr(store, method)
    started, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def work(unit: UnitOfWork) -> None:
        started.release()
        await may_end.wait()

    try:
        slow = [asyncio.create_task(use(work)) for _ in range(at_once)]
        for _ in range(at_once):
            await started.acquire()
        with pytest.raises(StoreUnavailableError, match="the database is busy"):
            await use(everything)
        may_end.set()
        await asyncio.gather(*slow)
        await use(everything)
        assert breaker.stats().failed == 0, "that it is busy does not mean that it is broken"
    finally:
        await store.close()


async def test_mistakes_of_callers_do_not_count_against_the_database(store: Store, breaker: CircuitBreaker) -> None:
    twin = incident()
    await store.run(lambda unit: unit.insert(twin))
    for _ in range(breaker.settings.failure_threshold or 0):
        with pytest.raises(IncidentNotFoundError):
            await store.read(lambda unit: unit.get("inc_0"))
        with pytest.raises(DuplicateOpenIncidentError):
            await store.run(lambda unit: unit.insert(incident()))
        with pytest.raises(IntegrityError):
            await store.run(lambda unit: unit.add_alert(new_alert(source="s", title="t", received_at=NOW), "inc_0"))
        with pytest.raises(DBAPIError):  # a wrong statement
            await store.read(lambda unit: unit.connection.execute(text("SELECT nonsense")))
    assert (breaker.state, breaker.stats().failed) == (State.CLOSED, 0)


async def test_an_open_breaker_spares_the_database(store: Store, breaker: CircuitBreaker) -> None:
    breaker.force_open("maintenance")

    async def never(unit: UnitOfWork) -> None:
        raise AssertionError("the work must not begin")

    for use in (store.run, store.read):
        with pytest.raises(StoreUnavailableError, match="held off by its circuit breaker") as caught:
            await use(never)
        assert caught.value.retry_after == 30.0
    breaker.reset()
    await store.run(lambda unit: unit.insert(incident()))


async def test_a_store_that_is_not_open_says_so(url: str, breaker: CircuitBreaker) -> None:
    store = Store(url, breaker)
    with pytest.raises(RuntimeError, match=re.escape("await Store.start() before using it")):
        await store.read(everything)
    await store.start()
    await store.close()
    with pytest.raises(RuntimeError, match="not after close"):
        await store.run(everything)


@pytest.mark.parametrize("method", ["run", "read"])
async def test_closing_lets_the_transaction_under_way_end(store: Store, method: str) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()

    async def work(unit: UnitOfWork) -> Page:
        started.set()
        await may_end.wait()
        return await everything(unit)

    using = asyncio.create_task(getattr(store, method)(work))
    await started.wait()
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    assert not closing.done()
    may_end.set()
    assert await asyncio.gather(using, closing) == [Page([], None), None]


async def test_a_closed_store_can_be_started_again(store: Store) -> None:
    await store.run(lambda unit: unit.insert(incident()))
    await store.close()
    await store.start()
    assert await titles(store) == ["a"]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("sqlite://", "a database that outlives the process is needed"),
        ("sqlite:///:memory:", "a database that outlives the process is needed"),
        ("mysql://root:secret@db/x", "only sqlite and postgresql are known"),
        ("nonsense", "cannot be read"),
        ("postgresql://root:secret@[db/x", "cannot be read"),
    ],
)
def test_an_address_of_something_else_is_refused_without_its_password(
    url: str, rule: str, breaker: CircuitBreaker
) -> None:
    with pytest.raises(ValueError, match=rule) as caught:
        Store(url, breaker)
    assert "secret" not in str(caught.value)


CRASH = """
import asyncio, os, signal, sys
from recloser import CircuitBreaker
from incident_manager.domain.alert import new_alert
from incident_manager.store.database import Store
from datetime import UTC, datetime

async def main():
    store = Store(sys.argv[1], CircuitBreaker("database"))
    await store.start()
    for number in range(5):
        alert = new_alert(source="s", title=str(number), received_at=datetime.now(UTC))
        await store.run(lambda unit: unit.add_alert(alert, None))
        print(number, flush=True)

    async def never_ends(unit):
        await unit.add_alert(new_alert(source="s", title="unfinished", received_at=datetime.now(UTC)), None)
        os.kill(os.getpid(), signal.SIGKILL)

    await store.run(never_ends)

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_that_was_committed(
    url: str, breaker: CircuitBreaker, tmp_path: Path
) -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CRASH, url, stdout=asyncio.subprocess.PIPE)
    printed, _ = await child.communicate()
    assert child.returncode == -9
    store = Store(url, breaker)
    await store.start()
    try:
        rows = await store.read(lambda unit: unit.connection.execute(text("SELECT title FROM alerts ORDER BY id")))
        assert [row.title for row in rows] == printed.decode().split() == ["0", "1", "2", "3", "4"]
    finally:
        await store.close()
