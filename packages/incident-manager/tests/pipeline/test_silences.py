"""A silence holds notifications back; everything else goes on, and nothing is lost."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from incident_manager.domain.alert import AlertStatus, new_alert
from incident_manager.domain.delivery import NotificationEvent
from incident_manager.domain.errors import SilenceNotFoundError
from incident_manager.domain.incident import Status
from incident_manager.domain.silence import Silence, new_silence, silent_until
from incident_manager.domain.timeline import TimelineKind
from incident_manager.pipeline import silencing
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.router import Step
from incident_manager.store import silences
from incident_manager.store.database import Store
from recloser.testing import FakeClock

from .conftest import Routes


class Desk:
    """Alerts about one thing, and silences."""

    def __init__(self, pipeline: AlertPipeline, store: Store, clock: FakeClock) -> None:
        self.pipeline = pipeline
        self.store = store
        self.clock = clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)

    async def report(self, status: AlertStatus = AlertStatus.FIRING) -> str:
        alert = new_alert(
            source="test", title="Disk full", labels={"team": "db"}, status=status, received_at=self.now()
        )
        [accepted] = await self.pipeline.accept([alert])
        return accepted.incident_id or ""

    async def silence(self, *, begins: float = 0, ends: float = 600, **matchers: str) -> Silence:
        silence = new_silence(
            matchers=matchers or {"team": "db"},
            starts_at=self.now() + timedelta(seconds=begins),
            ends_at=self.now() + timedelta(seconds=ends),
            reason="disk is being replaced",
            by="ana",
            at=self.now(),
        )
        await self.store.run(lambda unit: silences.add(unit, silence))
        return silence

    async def begin(self, *, begins: float = 0, ends: float = 600) -> Silence:
        """Make a silence that holds what waits as well."""
        silence = new_silence(
            matchers={"team": "db"},
            starts_at=self.now() + timedelta(seconds=begins),
            ends_at=self.now() + timedelta(seconds=ends),
            reason="disk is being replaced",
            by="ana",
            at=self.now(),
        )
        await self.store.run(lambda unit: silencing.begin(unit, silence, self.now()))
        return silence

    async def end(self, silence: Silence) -> int:
        return await self.store.run(lambda unit: silences.end(unit, silence.id, self.now()))

    async def sent(self, destination: str = "slack") -> Sequence[NotificationEvent]:
        """Deliver all that is due."""
        outbox, now = self.store.outbox, self.now()
        sent = []
        while claimed := await outbox.claim(destination=destination, worker="w", now=now, lease=60, limit=10):
            for delivery in claimed:
                await outbox.mark_delivered(delivery.id, "w", now)
                sent.append(delivery.event)
        return sent


@pytest.fixture
def desk(pipeline: AlertPipeline, store: Store, clock: FakeClock) -> Desk:
    return Desk(pipeline, store, clock)


async def test_silenced_incident_is_kept_and_told_when_the_silence_ends(desk: Desk) -> None:
    await desk.silence(ends=600)
    incident_id = await desk.report()
    assert await desk.sent() == []
    assert (await desk.store.read(lambda unit: unit.get(incident_id))).status is Status.DETECTED
    desk.clock.advance(600)
    assert await desk.sent() == [NotificationEvent.TRIGGERED]


async def test_timeline_tells_why_nobody_was_told(desk: Desk) -> None:
    await desk.silence()
    incident_id = await desk.report()
    timeline = await desk.store.read(lambda unit: unit.timeline(incident_id))
    assert any("held back until" in entry.message and "disk is being replaced" in entry.message for entry in timeline)


async def test_end_and_new_beginning_under_silence_are_both_told_in_order(desk: Desk) -> None:
    await desk.report()
    assert await desk.sent() == [NotificationEvent.TRIGGERED]
    await desk.silence(ends=600)
    await desk.report(AlertStatus.RESOLVED)
    assert await desk.sent() == []
    desk.clock.advance(600)
    await desk.report()
    assert await desk.sent() == [NotificationEvent.RESOLVED, NotificationEvent.TRIGGERED]


async def test_other_incidents_are_told(desk: Desk) -> None:
    await desk.silence(team="web")
    await desk.report()
    assert await desk.sent() == [NotificationEvent.TRIGGERED]


async def test_silence_that_has_not_begun_holds_nothing(desk: Desk) -> None:
    await desk.silence(begins=60)
    await desk.report()
    assert await desk.sent() == [NotificationEvent.TRIGGERED]


async def test_silence_ended_early_lets_everything_go(desk: Desk) -> None:
    silence = await desk.silence(ends=600)
    await desk.report()
    assert await desk.store.run(lambda unit: silences.end(unit, silence.id, desk.now())) == 1
    assert await desk.sent() == [NotificationEvent.TRIGGERED]


async def test_silence_holds_what_waits_already(desk: Desk) -> None:
    await desk.report()
    await desk.begin(ends=600)
    assert await desk.sent() == []
    desk.clock.advance(600)
    assert await desk.sent() == [NotificationEvent.TRIGGERED]


async def test_timeline_of_what_waits_tells_of_the_silence(desk: Desk) -> None:
    incident_id = await desk.report()
    await desk.begin(ends=600)
    timeline = await desk.store.read(lambda unit: unit.timeline(incident_id))
    assert [entry.actor for entry in timeline if entry.kind is TimelineKind.SILENCED] == ["ana"]


async def test_what_two_silences_hold_is_let_go_by_the_last_one(desk: Desk) -> None:
    await desk.report()
    first = await desk.begin(ends=600)
    second = await desk.begin(ends=300)
    assert await desk.end(first) == 1
    assert await desk.sent() == []
    assert await desk.end(second) == 1
    assert await desk.sent() == [NotificationEvent.TRIGGERED]


async def test_step_of_the_escalation_is_told_after_the_silence(desk: Desk, routes: Routes) -> None:
    routes.later = [Step(300, "boss")]
    await desk.silence(ends=600)
    await desk.report()
    desk.clock.advance(599)
    assert await desk.sent("boss") == []
    desk.clock.advance(1)
    assert await desk.sent("boss") == [NotificationEvent.TRIGGERED]


async def test_step_of_the_escalation_keeps_its_time_when_a_silence_is_ended_before(desk: Desk, routes: Routes) -> None:
    routes.later = [Step(300, "boss")]
    await desk.report()
    silence = await desk.begin(ends=600)
    assert await desk.end(silence) == 2
    assert await desk.sent("boss") == []
    desk.clock.advance(300)
    assert await desk.sent("boss") == [NotificationEvent.TRIGGERED]


async def test_acknowledgement_under_silence_stops_the_escalation(
    desk: Desk, routes: Routes, actions: IncidentActions
) -> None:
    routes.later = [Step(300, "boss")]
    incident_id = await desk.report()
    await desk.begin(ends=600)
    await actions.acknowledge(incident_id, by="bo")
    desk.clock.advance(600)
    assert await desk.sent("boss") == []


@pytest.mark.parametrize("announced", [True, False], ids=["before the incident", "after the incident"])
async def test_step_that_falls_into_a_maintenance_window_is_told_after_it(
    desk: Desk, routes: Routes, announced: bool
) -> None:
    routes.later = [Step(100, "second"), Step(300, "boss")]
    if announced:
        await desk.begin(begins=200, ends=600)
    await desk.report()
    if not announced:
        await desk.begin(begins=200, ends=600)
    assert await desk.sent() == [NotificationEvent.TRIGGERED]
    desk.clock.advance(300)
    assert await desk.sent("second") == [NotificationEvent.TRIGGERED]
    assert await desk.sent("boss") == []
    desk.clock.advance(300)
    assert await desk.sent("boss") == [NotificationEvent.TRIGGERED]


async def test_the_next_one_is_due_when_the_silence_ends(desk: Desk) -> None:
    silence = await desk.silence(ends=600)
    await desk.report()
    assert await desk.store.outbox.next_due("slack") == silence.ends_at


async def test_unknown_silence_is_named(desk: Desk) -> None:
    with pytest.raises(SilenceNotFoundError, match="sil_1"):
        await desk.store.read(lambda unit: silences.get(unit, "sil_1"))


async def test_silences_that_follow_one_another_count_as_one(desk: Desk) -> None:
    await desk.silence(ends=600)
    last = await desk.silence(begins=500, ends=1000)
    await desk.silence(begins=1001, ends=2000)
    incident_id = await desk.report()
    incident = await desk.store.read(lambda unit: unit.get(incident_id))
    known = await desk.store.read(lambda unit: silences.current(unit, desk.now()))
    assert silent_until(incident, known, desk.now()) == (last.ends_at, last)


@pytest.mark.parametrize(
    ("matchers", "matches"),
    [
        ({"team": "db"}, True),
        ({"team": "d*"}, True),
        ({"team": "db", "source": "test"}, True),
        ({"team": "db", "source": "other"}, False),
        ({"team": "DB"}, False),
        ({"zone": "*"}, True),
        ({"zone": "?*"}, False),
    ],
)
async def test_every_matcher_must_match(desk: Desk, matchers: dict[str, str], matches: bool) -> None:
    incident_id = await desk.report()
    incident = await desk.store.read(lambda unit: unit.get(incident_id))
    at = desk.now()
    silence = new_silence(matchers=matchers, starts_at=at, ends_at=at + timedelta(seconds=1), reason="r", by="b", at=at)
    assert silence.matches(incident) is matches


def test_silence_of_everything_is_refused() -> None:
    at = datetime(2026, 1, 31, tzinfo=UTC)
    with pytest.raises(ValueError, match="at least one"):
        new_silence(matchers={}, starts_at=at, ends_at=at + timedelta(hours=1), reason="r", by="b", at=at)


def test_silence_that_is_over_before_it_begins_is_refused() -> None:
    at = datetime(2026, 1, 31, tzinfo=UTC)
    with pytest.raises(ValueError, match="ends_at"):
        new_silence(matchers={"a": "b"}, starts_at=at, ends_at=at, reason="r", by="b", at=at)
