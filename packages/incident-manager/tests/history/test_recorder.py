"""What breakers go through is kept, in order, once, also while the store is away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.history import recorder as recorder_module
from incident_manager.history.recorder import BreakerRecorder
from incident_manager.history.records import Tally, Transition
from incident_manager.history.summary import Summary, summarise
from incident_manager.store.breaker_history import newest_transitions, roll_up, tallies_between
from incident_manager.store.database import Store
from incident_manager.store.retention import forget_breaker_history
from incident_manager.store.sweep import RetentionSweep
from recloser import CircuitBreaker, CircuitOpenError, Registry, Settings
from recloser.testing import FakeClock

DAY = 86400.0
T = TypeVar("T")


class History:
    """Recorders on one store, and what it keeps."""

    def __init__(self, store: Store, registry: Registry, clock: FakeClock) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock

    @asynccontextmanager
    async def recorder(self, registry: Registry | None = None, **options: Any) -> AsyncIterator[BreakerRecorder]:
        """A running one; by default it writes what happens at once, and nothing else before its end."""
        made = BreakerRecorder(
            self.store, registry or self.registry, self.clock, **{"every": 60.0, "at_once": 0.0, **options}
        )
        await made.start()
        try:
            yield made
        finally:
            await made.stop()

    async def transitions(self, name: str = "notify:ops") -> list[Transition]:
        """Those of a breaker that the store has, oldest first."""
        return list(reversed(await self.store.read(lambda unit: newest_transitions(unit, name, 100))))

    async def steps(self, name: str = "notify:ops") -> list[str]:
        return [f"{one.from_state}-{one.to_state}" for one in await self.transitions(name)]

    async def tallies(self, name: str = "notify:ops") -> list[Tally]:
        since = datetime(2020, 1, 1, tzinfo=UTC)
        found = await self.store.read(lambda unit: tallies_between(unit, since, self.now() + timedelta(days=1)))
        return [one for one in found if one.breaker == name]

    async def summary(self, recorder: BreakerRecorder | None = None, window: float = DAY) -> Summary:
        unwritten = recorder.unwritten() if recorder else None
        return await summarise(self.store, [], window, self.now() + timedelta(seconds=1), unwritten)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)


async def eventually(read: Callable[[], Any], accept: Callable[[Any], bool]) -> Any:
    """What `read` returns, as soon as it is accepted."""
    async with asyncio.timeout(30):
        while not accept(value := await read()):  # noqa: ASYNC110 - nobody tells when a row is in the database
            await asyncio.sleep(0.005)
    return value


def fail(breaker: CircuitBreaker, clock: FakeClock | None = None, took: float = 0.0) -> None:
    permit = breaker.acquire()
    if clock is not None:
        clock.advance(took)
    permit.failure(ConnectionError("refused"))


def recover(breaker: CircuitBreaker, clock: FakeClock) -> None:
    clock.advance(10.0)
    breaker.acquire().success()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """SQLite, but for tests of statements that databases may understand differently."""
    return str(request.getfixturevalue(getattr(request, "param", "sqlite_url")))


on_both = pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"], indirect=True)


@pytest.fixture
def history(store: Store, registry: Registry, clock: FakeClock) -> History:
    return History(store, registry, clock)


async def test_each_change_is_written_as_it_happens(
    history: History, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    async with history.recorder():
        clock.advance(100.0)
        fail(breaker)
        [opened] = await eventually(history.transitions, lambda found: len(found) == 1)
        assert (opened.reason, opened.stayed, opened.open_for) == ("consecutive_failures", 100.0, 10.0)
        assert opened.at == history.now()
        assert "refused" in (opened.detail or "")
        assert (opened.recovery_seconds, opened.rejected, opened.by_operator) == (None, None, False)


async def test_recovery_says_how_long_it_took_and_how_many_calls_were_rejected(
    history: History, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    async with history.recorder():
        fail(breaker)
        for _ in range(3):
            with pytest.raises(CircuitOpenError):
                breaker.acquire()
        clock.advance(10.0)
        fail(breaker)
        recover(breaker, clock)
    assert await history.steps() == [
        "closed-open", "open-half_open", "half_open-open", "open-half_open", "half_open-closed",
    ]  # fmt: skip
    closed = (await history.transitions())[-1]
    assert (closed.recovery_seconds, closed.rejected, closed.by_operator) == (20.0, 3, False)


async def test_trouble_that_an_operator_had_a_hand_in_says_so(history: History, breaker: CircuitBreaker) -> None:
    async with history.recorder():
        fail(breaker)
        breaker.reset("it is back")
        fail(breaker)
    assert [one.by_operator for one in await history.transitions()] == [False, True, False]


async def test_counters_are_kept_with_latencies(history: History, breaker: CircuitBreaker, clock: FakeClock) -> None:
    async with history.recorder():
        permit = breaker.acquire()
        clock.advance(0.02)
        permit.success()
        fail(breaker, clock, took=4.0)
        with pytest.raises(CircuitOpenError):
            breaker.acquire()
        clock.advance(6.0)
    [tally] = await history.tallies()
    assert (tally.succeeded, tally.failed, tally.rejected, tally.held_off) == (1, 1, 1, 0)
    assert (tally.durations, tally.failed_durations) == ({"0.025": 1, "5": 1}, {"5": 1})
    assert (round(tally.closed_seconds, 6), round(tally.open_seconds, 6)) == (4.02, 6.0)
    assert tally.ends_at == history.now()


async def test_calls_that_an_operator_held_off_are_counted_apart(history: History, breaker: CircuitBreaker) -> None:
    async with history.recorder():
        breaker.force_open("maintenance")
        with pytest.raises(CircuitOpenError):
            breaker.acquire()
    [tally] = await history.tallies()
    assert (tally.rejected, tally.held_off) == (0, 1)


@on_both
async def test_figures_hold_what_is_not_written_yet_and_count_nothing_twice(
    history: History, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    async with history.recorder() as recorder:
        fail(breaker)
        unwritten = await history.summary(recorder)
        await eventually(history.steps, lambda steps: len(steps) == 1)
        written = await history.summary(recorder)
        for found in (unwritten, written):
            assert (found.total.transitions, found.breakers["notify:ops"].failed) == (1, 1)
        recover(breaker, clock)
    for found in (await history.summary(recorder), await history.summary()):
        assert (found.total.transitions, found.total.recoveries, found.breakers["notify:ops"].failed) == (3, 1, 1)
        assert found.history_since == found.until - timedelta(seconds=11)


@on_both
async def test_figures_go_on_over_restarts_and_replicas(
    history: History, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    async with history.recorder(), history.recorder():  # two that see the same count it twice
        fail(breaker)
        recover(breaker, clock)
    async with history.recorder():
        fail(breaker)
    found = (await history.summary()).breakers["notify:ops"]
    assert (found.transitions, found.openings, found.recoveries, found.failed) == (7, 3, 2, 3)
    assert len({one.instance for one in await history.transitions()}) == 3


@on_both
async def test_what_happens_while_the_database_is_held_off_is_written_when_it_is_back(
    history: History, breaker: CircuitBreaker, registry: Registry, clock: FakeClock
) -> None:
    async with history.recorder() as recorder:
        fail(registry["database"])
        fail(breaker)
        with pytest.raises(StoreUnavailableError):
            await history.steps()
        assert [one.breaker for one in recorder.unwritten().transitions] == ["database", "notify:ops"]
        recover(breaker, clock)
        for _ in range(2):
            registry["database"].acquire().success()
        assert await eventually(lambda: history.steps("database"), lambda steps: len(steps) == 3) == [
            "closed-open", "open-half_open", "half_open-closed",
        ]  # fmt: skip
        assert await history.steps() == ["closed-open", "open-half_open", "half_open-closed"]
        assert not recorder.unwritten().transitions


async def test_waiting_changes_are_bounded_and_the_newest_stay(
    history: History, breaker: CircuitBreaker, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_WAITING", 4)
    async with history.recorder() as recorder:
        registry["database"].force_open("test")
        for _ in range(20):
            fail(breaker)
            breaker.reset("again")
        assert [one.number for one in recorder.unwritten().transitions] == [38, 39, 40, 41]
        registry["database"].reset("test")
        await eventually(history.steps, lambda steps: len(steps) >= 3)
    assert await history.steps() == ["open-closed", "closed-open", "open-closed"]


async def test_many_changes_are_written_in_batches_in_order(
    history: History, breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "BATCH", 7)
    async with history.recorder():
        for _ in range(10):
            fail(breaker)
            breaker.reset("again")
    assert [one.number for one in await history.transitions()] == list(range(1, 21))


async def test_tally_covers_its_span_and_then_the_next_one_begins(
    history: History, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    async with history.recorder(span=300.0):
        for _ in range(3):
            clock.advance(200.0)
            fail(breaker)  # whatever happens is written together with the counters
            await eventually(history.transitions, lambda found: found and found[-1].at == history.now())
            breaker.reset("again")
            await eventually(history.transitions, lambda found: found[-1].to_state == "closed")
    spans = [round((one.ends_at - one.starts_at).total_seconds()) for one in await history.tallies()]
    assert spans == [400, 200]
    assert [one.failed for one in await history.tallies()] == [2, 1]


async def test_while_the_store_is_away_the_span_goes_on_and_loses_nothing(
    history: History, breaker: CircuitBreaker, registry: Registry, clock: FakeClock
) -> None:
    async with history.recorder(span=300.0) as recorder:
        registry["database"].force_open("test")
        for _ in range(5):
            clock.advance(300.0)
            fail(breaker)
            breaker.reset("again")
        assert len(recorder.unwritten().tallies) == len(registry)
        registry["database"].reset("test")
        await eventually(history.tallies, lambda tallies: bool(tallies))
    assert sum(one.failed for one in await history.tallies()) == 5
    assert sum(one.closed_seconds for one in await history.tallies()) == pytest.approx(1500.0)


async def test_wall_clock_that_is_set_back_changes_no_duration(
    history: History, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    async with history.recorder():
        clock.advance(50.0)
        clock.set_time(clock.time() - 3600.0)
        fail(breaker)
        clock.advance(10.0)
    [tally], [opened] = await history.tallies(), await history.transitions()
    assert (tally.ends_at - tally.starts_at).total_seconds() == pytest.approx(60.0)
    assert opened.stayed == 50.0


async def test_old_spans_are_put_together_by_the_hour(
    history: History, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    async with history.recorder(span=300.0):
        for _ in range(12):
            clock.advance(300.0)
            fail(breaker)
            await eventually(history.tallies, lambda tallies: tallies and tallies[-1].ends_at == history.now())
            breaker.reset("again")
            await eventually(history.transitions, lambda found: found[-1].to_state == "closed")
    before = (await history.summary(window=2 * DAY)).total
    assert len(await history.tallies()) == 13
    clock.advance(25 * 3600.0)
    await sweep(history)
    rolled = await history.tallies()
    assert len(rolled) == 2
    assert sum(one.failed for one in rolled) == 12
    after = (await history.summary(window=2 * DAY)).total
    assert (after.failed, after.transitions, after.p99) == (before.failed, before.transitions, before.p99)
    assert after.observed_seconds == pytest.approx(before.observed_seconds)
    await sweep(history)
    assert await history.tallies() == rolled


@on_both
async def test_replicas_may_put_spans_together_at_once(
    history: History, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    for _ in range(20):
        async with history.recorder():
            clock.advance(60.0)
            fail(breaker)
            breaker.reset("again")
    clock.advance(2 * DAY)
    at = history.now() - timedelta(days=1)

    async def work(name: str) -> int:
        return await history.store.run(lambda unit: roll_up(unit, at, name))

    assert sum(await asyncio.gather(*(work(f"sum-{number}") for number in range(4)))) == 40
    assert sum(one.failed for one in await history.tallies()) == 20


@on_both
async def test_history_is_forgotten_at_its_age(history: History, breaker: CircuitBreaker, clock: FakeClock) -> None:
    async with history.recorder():
        fail(breaker)
        clock.advance(60.0)
    clock.advance(91 * DAY)
    async with history.recorder():
        breaker.reset("later")
        clock.advance(60.0)
    await sweep(history, breakers=90 * DAY)
    assert await history.steps() == ["open-closed"]
    assert len(await history.tallies()) == 1


async def test_one_transaction_forgets_a_bounded_number_of_rows(
    history: History, breaker: CircuitBreaker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with history.recorder():
        for _ in range(600):
            fail(breaker)
            breaker.reset("again")
    clock.advance(DAY)
    now = history.now()
    gone: Sequence[int] = [await history.store.run(lambda unit: forget_breaker_history(unit, now)) for _ in range(3)]
    assert gone == [1000 + 2, 200, 0]


async def sweep(history: History, breakers: float | None = None) -> None:
    await RetentionSweep(history.store, history.clock, incidents=None, audit=None, breakers=breakers).sweep()


async def test_breaker_that_comes_later_has_a_history_from_then_on(
    history: History, registry: Registry, clock: FakeClock
) -> None:
    async with history.recorder():
        clock.advance(100.0)
        late = registry.get_or_create("notify:late", Settings(failure_threshold=1, success_threshold=1, open_for=10.0))
        clock.advance(5.0)
        fail(late)
        recover(late, clock)
    assert await history.steps("notify:late") == ["closed-open", "open-half_open", "half_open-closed"]
    assert (await history.transitions("notify:late"))[0].stayed == 5.0
    [tally] = await history.tallies("notify:late")
    assert (tally.succeeded, tally.failed) == (1, 1)


async def test_breaker_in_the_place_of_another_of_its_name_begins_with_nothing(
    history: History, registry: Registry, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    async with history.recorder() as recorder:
        for _ in range(5):
            breaker.acquire().success()
        await recorder._write()
        registry.remove("notify:ops")
        again = registry.get_or_create("notify:ops", Settings(failure_threshold=1, success_threshold=1))
        again.acquire().success()
    [tally] = await history.tallies()
    assert (tally.succeeded, tally.failed, tally.rejected) == (1, 0, 0)


@on_both
async def test_text_that_a_database_does_not_take_is_written_without_it(
    history: History, breaker: CircuitBreaker
) -> None:
    async with history.recorder():
        breaker.acquire().failure(ConnectionError("refused\0 by \ud800 it"))
    [opened] = await history.transitions()
    assert "refused  by   it" in (opened.detail or "")
