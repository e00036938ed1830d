"""What was appended to the journal is there after any crash, in order, and it never grows beyond its limits."""

import asyncio
import resource
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import JournalError, JournalFullError, JournalUnavailableError
from incident_manager.domain.severity import Severity
from incident_manager.store.journal import Journal, JournalState
from recloser.testing import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def alert(name: str = "a") -> Alert:
    return new_alert(source="s", title=name, received_at=NOW)


def journal_at(path: Path, clock: FakeClock, max_alerts: int = 100, max_bytes: int = 1_000_000) -> Journal:
    return Journal(path, max_alerts=max_alerts, max_bytes=max_bytes, clock=clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data/journal.db"


@pytest.fixture
async def journal(path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    opened = journal_at(path, clock)
    await opened.open()
    yield opened
    await opened.close()


def size_of(path: Path) -> int:
    return path.stat().st_size


async def titles(journal: Journal) -> list[str]:
    return [entry.alert().title for entry in await journal.first(1000)]


async def test_an_alert_comes_back_the_same(journal: Journal) -> None:
    full = new_alert(
        source="s",
        title="naïve ☃",
        received_at=NOW,
        status=AlertStatus.RESOLVED,
        severity=Severity.P0,
        description="text",
        labels={"a": "b"},
        annotations={"": ""},
        starts_at=NOW,
        ends_at=NOW,
        dedup_key="k",
        generator_url="https://example.test/",
    )
    await journal.append([full])
    [entry] = await journal.first(10)
    assert entry.alert() == full


async def test_entries_keep_their_order_and_go_when_told(journal: Journal) -> None:
    for name in "abc":
        await journal.append([alert(name), alert(name.upper())])
    entries = await journal.first(3)
    assert [entry.alert().title for entry in entries] == ["a", "A", "b"]
    await journal.remove(entries)
    assert await titles(journal) == ["B", "c", "C"]


async def test_it_tells_how_much_waits_and_since_when(journal: Journal, clock: FakeClock) -> None:
    assert journal.state == JournalState()
    await journal.append([alert("a")])
    clock.advance(5)
    await journal.append([alert("b")])
    clock.advance(2)
    assert (journal.state.waiting, journal.oldest_age) == (2, 7)
    await journal.remove(await journal.first(1))
    assert (journal.state.waiting, journal.oldest_age) == (1, 2)
    await journal.remove(await journal.first(1))
    assert (journal.state, journal.oldest_age) == (JournalState(), 0)


async def test_a_full_journal_takes_nothing_of_a_request(path: Path, clock: FakeClock) -> None:
    journal = journal_at(path, clock, max_alerts=3)
    await journal.open()
    await journal.append([alert("a"), alert("b")])
    with pytest.raises(JournalFullError, match="full"):
        await journal.append([alert("c"), alert("d")])
    assert await titles(journal) == ["a", "b"]
    await journal.append([alert("e")])
    await journal.close()


async def test_bytes_are_limited_too(path: Path, clock: FakeClock) -> None:
    journal = journal_at(path, clock, max_bytes=5000)
    await journal.open()
    with pytest.raises(JournalFullError):
        await journal.append([replace(alert(), description="x" * 5000)])
    await journal.append([replace(alert(), description="x" * 3000)])
    with pytest.raises(JournalFullError):
        await journal.append([replace(alert(), description="x" * 3000)])
    await journal.remove(await journal.first(1))
    await journal.append([replace(alert(), description="x" * 3000)])
    await journal.close()


async def test_what_is_set_aside_is_kept_and_waits_again_after_a_restart(
    journal: Journal, path: Path, clock: FakeClock
) -> None:
    await journal.append([alert("bad"), alert("good")])
    await journal.set_aside((await journal.first(1))[0], "ValueError")
    assert await titles(journal) == ["good"]
    assert (journal.state.waiting, journal.state.set_aside) == (1, 1)
    await journal.close()
    again = journal_at(path, clock)
    await again.open()
    assert await titles(again) == ["bad", "good"]
    assert (again.state.waiting, again.state.set_aside) == (2, 0)
    await again.close()


async def test_it_belongs_to_one_process_at_a_time(journal: Journal, path: Path, clock: FakeClock) -> None:
    with pytest.raises(JournalError, match="locked"):
        await journal_at(path, clock).open()


@pytest.fixture
def no_journal(path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 1000)
    return path


async def test_a_file_that_is_no_journal_is_refused(no_journal: Path, clock: FakeClock) -> None:
    with pytest.raises(JournalError, match="not a database"):
        await journal_at(no_journal, clock).open()


async def test_a_disk_that_fails_is_told_to_the_sender(journal: Journal, path: Path) -> None:
    await journal.append([alert("before")])

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_of(path.with_name("journal.db-wal")), limits[1]))
    try:
        with pytest.raises(JournalUnavailableError, match="cannot be used"):
            await journal.append([replace(alert("too much"), description="x" * 100_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert await titles(journal) == ["before"]
    assert journal.state.waiting == 1


async def test_a_cancelled_append_is_whole_or_absent_and_counted_right(journal: Journal) -> None:
    for number in range(10):
        task = asyncio.create_task(journal.append([alert(str(number)), alert(str(number))]))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    found = await titles(journal)
    assert all(found.count(title) == 2 for title in found)
    assert journal.state.waiting == len(found)


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from recloser import SystemClock
from incident_manager.domain.alert import new_alert
from incident_manager.store.journal import Journal

async def main():
    journal = Journal(Path(sys.argv[1]), max_alerts=10**6, max_bytes=10**9, clock=SystemClock())
    await journal.open()
    number = 0
    while True:
        await journal.append([new_alert(source="s", title=str(number), received_at=datetime.now(UTC))])
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_that_was_appended(path: Path, clock: FakeClock) -> None:
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, path, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    printed = [await writer.stdout.readline() for _ in range(50)]
    writer.kill()
    printed += (await writer.stdout.read()).splitlines()
    await writer.wait()
    journal = journal_at(path, clock, max_alerts=10**6)
    await journal.open()
    numbers = [int(title) for title in await titles(journal)]
    await journal.close()
    last = int(printed[-1])
    assert numbers[: last + 1] == list(range(last + 1))
    assert len(numbers) in (last + 1, last + 2), "one more may have been written and not yet told"


async def test_a_log_cut_at_any_byte_keeps_all_that_was_complete(
    journal: Journal, path: Path, tmp_path: Path, clock: FakeClock
) -> None:
    """What a crash of the machine leaves of the last write: SQLite's checksums tell where it ends."""
    await journal.append([alert("first")])
    log = path.with_name("journal.db-wal")
    complete = size_of(log)
    await journal.append([alert("second")])
    size = size_of(log)
    assert size > complete
    for number, cut in enumerate([*range(complete, size, 997), size]):
        copy = tmp_path / str(number) / "journal.db"
        copy.parent.mkdir()
        shutil.copy(path, copy)
        copy.with_name("journal.db-wal").write_bytes(log.read_bytes()[:cut])
        torn = journal_at(copy, clock)
        await torn.open()
        assert await titles(torn) == (["first", "second"] if cut == size else ["first"])
        await torn.close()
