"""Alerts are accepted whatever the state of the database, count once, and count in the order of their coming."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from sqlalchemy import text

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import JournalFullError, StoreUnavailableError
from incident_manager.domain.incident import Incident, Status
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.correlate import Action
from incident_manager.pipeline.intake import AlertIntake
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.store.database import Store, Work
from incident_manager.store.journal import Journal
from incident_manager.store.paging import IncidentFilter
from incident_manager.store.repository import UnitOfWork
from recloser import CircuitBreaker
from recloser.testing import FakeClock

T = TypeVar("T")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED


class Bell(Protocol):
    rung: int


def alert(name: str = "disk", status: AlertStatus = FIRING, minutes: float = 0, **fields: Any) -> Alert:
    values = {"source": "s", "title": name, "labels": {"name": name}, **fields}
    return new_alert(status=status, received_at=NOW + minutes * MINUTE, **values)


@pytest.fixture
async def journal(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    opened = Journal(tmp_path / "journal.db", max_alerts=10_000, max_bytes=10_000_000, clock=clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def intake(pipeline: AlertPipeline, journal: Journal) -> AsyncIterator[AlertIntake]:
    started = AlertIntake(pipeline, journal, patience=30)
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
def away(breaker: CircuitBreaker) -> Callable[[], Any]:
    """While in this context, the database cannot be used."""

    @asynccontextmanager
    async def while_away() -> AsyncIterator[None]:
        breaker.force_open("the database is away")
        yield
        breaker.reset()

    return while_away


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


async def emptied(journal: Journal) -> None:
    await until(lambda: journal.state.waiting == 0)


async def incidents(store: Store) -> list[Incident]:
    """Every incident, oldest first."""
    return (await store.read(lambda unit: unit.list(IncidentFilter(), 1000))).incidents[::-1]


async def stored_alerts(store: Store) -> int:
    async def count(unit: UnitOfWork) -> int:
        return int(await unit.connection.scalar(text("SELECT count(*) FROM alerts")) or 0)

    return await store.read(count)


async def test_with_a_working_database_nothing_is_journaled(intake: AlertIntake, journal: Journal) -> None:
    [accepted] = await intake.accept([alert()])
    assert (accepted.action, journal.state.waiting) == (Action.OPENED, 0)


async def test_while_the_database_is_away_alerts_are_journaled_and_stored_afterwards(
    intake: AlertIntake, journal: Journal, store: Store, away: Callable[[], Any], bell: Bell
) -> None:
    async with away():
        first, second = await intake.accept([alert("a"), alert("b")])
        assert (first.action, first.incident_id, second.action) == (Action.JOURNALED, None, Action.JOURNALED)
        assert journal.state.waiting == 2
    await emptied(journal)
    assert {one.title for one in await incidents(store)} == {"a", "b"}
    assert bell.rung == 1


async def test_fifty_identical_alerts_through_the_journal_are_one_incident(
    intake: AlertIntake, journal: Journal, store: Store, away: Callable[[], Any]
) -> None:
    async with away():
        await asyncio.gather(*(intake.accept([alert()]) for _ in range(50)))
    await emptied(journal)
    [incident] = await incidents(store)
    assert incident.alert_count == 50


async def test_what_comes_while_the_journal_is_not_empty_goes_behind_it(
    intake: AlertIntake, journal: Journal, store: Store, away: Callable[[], Any]
) -> None:
    async with away():
        await intake.accept([alert(minutes=0)])
    [accepted] = await intake.accept([alert(status=RESOLVED, minutes=1)])
    await emptied(journal)
    [incident] = await incidents(store)
    assert incident.status is Status.RESOLVED
    assert accepted.action in (Action.JOURNALED, Action.RESOLVED), "never ignored: that would be before the first one"


async def test_a_request_counts_by_the_moments_its_alerts_speak_of(
    intake: AlertIntake, journal: Journal, store: Store, away: Callable[[], Any]
) -> None:
    later = alert(minutes=9, starts_at=NOW + 5 * MINUTE)
    earlier = alert(status=RESOLVED, minutes=9, starts_at=NOW, ends_at=NOW + MINUTE)
    async with away():
        await intake.accept([later, earlier])
    await emptied(journal)
    [incident] = await incidents(store)
    assert incident.status.is_open


class Unsure(Store):
    """Commits, and then loses the connection: what a caller sees when the server dies during a commit."""

    lost = 0

    async def run(self, work: Work[T], *, visible: bool = True) -> T:
        result = await super().run(work, visible=visible)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailableError("the connection was lost during the commit", 0.01)
        return result


@asynccontextmanager
async def unsure_store(url: str, breaker: CircuitBreaker) -> AsyncIterator[Unsure]:
    store = Unsure(url, breaker)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def test_an_alert_whose_commit_nobody_was_told_of_counts_once(
    url: str, breaker: CircuitBreaker, routes: Any, clock: FakeClock, journal: Journal
) -> None:
    async with unsure_store(url, breaker) as store:
        pipeline = AlertPipeline(store, routes, clock)
        intake = AlertIntake(pipeline, journal, patience=30)
        store.lost = 3  # the first try, and two of the replay
        [accepted] = await intake.accept([alert()])
        assert accepted.action is Action.JOURNALED
        await intake.start()
        await emptied(journal)
        await intake.stop()
        [incident] = await incidents(store)
        assert (incident.alert_count, await stored_alerts(store)) == (1, 1)
        assert await store.outbox.waiting() == {"slack": 1}


async def test_a_process_that_dies_between_commit_and_forgetting_counts_once(
    pipeline: AlertPipeline, journal: Journal, store: Store
) -> None:
    await journal.append([alert("a"), alert("b")])
    await pipeline.replay([entry.alert() for entry in await journal.first(10)])
    intake = AlertIntake(pipeline, journal, patience=30)  # the next process finds them still there
    await intake.start()
    await emptied(journal)
    await intake.stop()
    assert [one.alert_count for one in await incidents(store)] == [1, 1]


async def test_a_database_that_takes_too_long_delays_nobody_and_counts_once(
    url: str, breaker: CircuitBreaker, routes: Any, clock: FakeClock, journal: Journal
) -> None:
    answers = asyncio.Event()

    class Slow(Store):
        async def run(self, work: Work[T], *, visible: bool = True) -> T:
            result = await super().run(work, visible=visible)
            await answers.wait()
            return result

    store = Slow(url, breaker)
    await store.start()
    intake = AlertIntake(AlertPipeline(store, routes, clock), journal, patience=0.1)
    await intake.start()
    try:
        [accepted] = await intake.accept([alert()])
        assert accepted.action is Action.JOURNALED
        answers.set()
        await emptied(journal)
        [incident] = await incidents(store)
        assert incident.alert_count == 1
    finally:
        answers.set()
        await intake.stop()
        await store.close()


async def test_a_full_journal_refuses_the_request_as_a_whole(
    pipeline: AlertPipeline, store: Store, away: Callable[[], Any], tmp_path: Path, clock: FakeClock
) -> None:
    small = Journal(tmp_path / "small.db", max_alerts=3, max_bytes=1_000_000, clock=clock)
    await small.open()
    intake = AlertIntake(pipeline, small, patience=30)
    await intake.start()
    try:
        async with away():
            await intake.accept([alert("a"), alert("b")])
            with pytest.raises(JournalFullError):
                await intake.accept([alert("c"), alert("d")])
        assert (intake.refused, intake.taken) == (2, {Action.JOURNALED: 2})
        await emptied(small)
        assert await stored_alerts(store) == 2
    finally:
        await intake.stop()
        await small.close()


async def test_an_alert_the_database_refuses_blocks_no_other(
    intake: AlertIntake, journal: Journal, store: Store, away: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = UnitOfWork.add_alerts

    def refuse(unit: UnitOfWork, received: list[tuple[Alert, str | None]]) -> Awaitable[None]:
        if any(one.title == "bad" for one, _ in received):
            raise ValueError("a fault of ours")
        return add(unit, received)

    monkeypatch.setattr(UnitOfWork, "add_alerts", refuse)
    async with away():
        await intake.accept([alert(name) for name in ("a", "b", "bad", "c", "d")])
    await emptied(journal)
    assert {one.title for one in await incidents(store)} == {"a", "b", "c", "d"}
    assert journal.state.set_aside == 1


async def test_the_journal_empties_although_alerts_keep_coming(
    intake: AlertIntake, journal: Journal, away: Callable[[], Any], store: Store
) -> None:
    async def sender(number: int) -> Action:
        count = 0
        while True:
            [accepted] = await intake.accept([alert(f"{number}-{count}")])
            if accepted.action is not Action.JOURNALED:
                return accepted.action
            count += 1
            await asyncio.sleep(0)

    async with away():
        await intake.accept([alert("first")])
    async with asyncio.timeout(20):
        assert await asyncio.gather(*(sender(number) for number in range(8))) == [Action.OPENED] * 8
    assert len(await incidents(store)) == await stored_alerts(store)


# Alerts of another replica's journal, which arrive late


async def test_a_firing_alert_from_before_the_end_of_its_trouble_opens_nothing_again(
    pipeline: AlertPipeline, store: Store
) -> None:
    await pipeline.accept([alert(minutes=0)])
    await pipeline.accept([alert(minutes=10, status=RESOLVED)])
    await pipeline.replay([alert(minutes=5), alert(minutes=6)])
    [incident] = await incidents(store)
    assert (incident.status, incident.alert_count) == (Status.RESOLVED, 3)


async def test_a_firing_alert_from_after_the_end_opens_another_incident(pipeline: AlertPipeline, store: Store) -> None:
    await pipeline.accept([alert(minutes=0)])
    await pipeline.accept([alert(minutes=10, status=RESOLVED)])
    await pipeline.replay([alert(minutes=15)])
    assert [one.status for one in await incidents(store)] == [Status.RESOLVED, Status.DETECTED]


async def test_a_trouble_that_began_after_the_moment_of_the_end_is_not_over(
    pipeline: AlertPipeline, store: Store
) -> None:
    """The end was received late itself: it speaks of an earlier moment."""
    await pipeline.accept([alert(minutes=0)])
    await pipeline.accept([alert(minutes=10, status=RESOLVED, starts_at=NOW, ends_at=NOW + MINUTE)])
    await pipeline.replay([alert(minutes=5)])
    assert [one.status for one in await incidents(store)] == [Status.RESOLVED, Status.DETECTED]


async def test_a_trouble_whose_end_came_first_is_told_and_over(pipeline: AlertPipeline, store: Store) -> None:
    await pipeline.accept([alert(minutes=10, status=RESOLVED)])
    await pipeline.replay([alert(minutes=5), alert(minutes=6)])
    [incident] = await incidents(store)
    assert (incident.status, incident.alert_count) == (Status.RESOLVED, 2)
    owed = await store.read(lambda unit: unit.deliveries(incident.id))
    assert [one.event.value for one in owed] == ["triggered", "resolved"]


async def test_what_a_person_resolved_stays_resolved(
    pipeline: AlertPipeline, actions: IncidentActions, store: Store, clock: FakeClock
) -> None:
    now = datetime.fromtimestamp(clock.time(), UTC)
    sent = {"source": "s", "title": "disk"}
    [opened] = await pipeline.accept([new_alert(received_at=now, **sent)])  # type: ignore[arg-type]
    clock.advance(600)
    await actions.resolve(str(opened.incident_id), by="ada")
    await pipeline.replay([new_alert(received_at=now + 5 * MINUTE, **sent)])  # type: ignore[arg-type]
    [incident] = await incidents(store)
    assert (incident.status, incident.resolved_by, incident.alert_count) == (Status.RESOLVED, "ada", 2)


async def test_late_alerts_do_not_replace_newer_labels(pipeline: AlertPipeline, store: Store) -> None:
    await pipeline.accept([alert(minutes=9, labels={"state": "new"}, dedup_key="k")])
    await pipeline.replay([alert(minutes=5, labels={"state": "old", "only": "late"}, dedup_key="k")])
    [incident] = await incidents(store)
    assert incident.labels == {"state": "new", "only": "late"}
    assert (incident.first_seen, incident.last_seen) == (NOW + 5 * MINUTE, NOW + 9 * MINUTE)
