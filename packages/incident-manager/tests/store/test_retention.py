"""What has ended long ago is forgotten, in small steps, on either database; what is still owed is not."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from incident_manager.domain.alert import AlertStatus, new_alert
from incident_manager.domain.errors import IncidentNotFoundError
from incident_manager.domain.grouping import GroupingRule, GroupingRules
from incident_manager.domain.incident import Incident
from incident_manager.pipeline.grouping_worker import GroupingWorker
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.pipeline.process import AlertPipeline, nobody
from incident_manager.settings import RetentionSettings
from incident_manager.store import retention, schema
from incident_manager.store.audit import AuditEntry, add_audit, newest_audit
from incident_manager.store.database import Store
from incident_manager.store.sweep import RetentionSweep
from recloser.testing import FakeClock

DAY = 86400.0


class Everybody:
    """Tells one destination everything."""

    def destinations_for(self, incident: Incident) -> list[str]:
        return ["ops"]

    def escalation_for(self, incident: Incident) -> list[Any]:
        return []


class Archive:
    """Incidents that begin and end, and what is kept of them."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        plan = AssessmentPlan().with_grouping(GroupingRules([GroupingRule(name="source", labels=("source",))]))
        self.pipeline = AlertPipeline(store, Everybody(), clock, plan=plan)
        self.grouping = GroupingWorker(store, plan, clock, on_released=nobody)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)

    async def report(self, key: str, status: AlertStatus = AlertStatus.FIRING, times: int = 1) -> str:
        alerts = [
            new_alert(source="test", title=key, dedup_key=key, status=status, received_at=self.now())
            for _ in range(times)
        ]
        return (await self.pipeline.accept(alerts))[0].incident_id or ""

    async def end(self, key: str) -> None:
        await self.report(key, AlertStatus.RESOLVED)

    async def deliver(self) -> None:
        """Tell everybody what is owed."""
        outbox = self.store.outbox
        while not await self.grouping.step():
            pass
        while claimed := await outbox.claim(destination="ops", worker="w", now=self.now(), lease=60, limit=50):
            for delivery in claimed:
                await outbox.mark_delivered(delivery.id, "w", self.now())

    async def sweep(self, incidents: float | None = 90 * DAY, audit: float | None = 365 * DAY) -> int:
        return await RetentionSweep(self.store, self.clock, incidents=incidents, audit=audit).sweep()

    async def has(self, incident_id: str) -> bool:
        try:
            await self.store.read(lambda unit: unit.get(incident_id))
        except IncidentNotFoundError:
            return False
        return True

    async def rows(self) -> dict[str, int]:
        """How many rows each table has that belongs to incidents."""
        tables = (
            schema.incidents,
            schema.alerts,
            schema.timeline,
            schema.outbox,
            schema.assessments,
            schema.group_members,
            schema.incident_groups,
        )

        async def work(unit: Any) -> dict[str, int]:
            return {
                table.name: await unit.connection.scalar(select(func.count()).select_from(table)) for table in tables
            }

        return await self.store.read(work)


@pytest.fixture
def archive(store: Store, clock: FakeClock) -> Archive:
    return Archive(store, clock)


async def test_ended_incident_is_forgotten_with_all_that_belongs_to_it(archive: Archive) -> None:
    incident_id = await archive.report("a")
    await archive.end("a")
    await archive.deliver()
    archive.clock.advance(89 * DAY)
    assert await archive.sweep() == 0
    archive.clock.advance(2 * DAY)
    assert await archive.sweep() > 0
    assert not await archive.has(incident_id)
    assert set((await archive.rows()).values()) == {0}


async def test_open_incident_is_kept_however_old(archive: Archive) -> None:
    incident_id = await archive.report("a")
    await archive.deliver()
    archive.clock.advance(1000 * DAY)
    await archive.sweep()
    assert await archive.has(incident_id)


async def test_incident_that_somebody_is_still_to_be_told_of_is_kept(archive: Archive) -> None:
    incident_id = await archive.report("a")
    await archive.end("a")
    archive.clock.advance(1000 * DAY)
    assert await archive.sweep() == 0
    await archive.deliver()
    assert await archive.sweep() > 0
    assert not await archive.has(incident_id)


async def test_alert_of_no_incident_is_forgotten(archive: Archive) -> None:
    await archive.end("never seen")
    archive.clock.advance(91 * DAY)
    assert await archive.sweep() == 1


async def test_null_keeps_everything_for_ever(archive: Archive) -> None:
    incident_id = await archive.report("a")
    await archive.end("a")
    await archive.deliver()
    await archive.store.run(lambda unit: add_audit(unit, [entry(archive.now())]))
    archive.clock.advance(100_000 * DAY)
    assert await archive.sweep(incidents=None, audit=None) == 0
    assert await archive.has(incident_id)


async def test_audit_log_is_cut_at_its_age(archive: Archive) -> None:
    for age in (400, 366, 364, 0):
        at = archive.now() + timedelta(days=400 - age)
        await archive.store.run(lambda unit, at=at: add_audit(unit, [entry(at)]))  # type: ignore[misc]
    archive.clock.advance(400 * DAY)
    assert await archive.sweep() == 2
    assert len(await archive.store.read(lambda unit: newest_audit(unit, 10))) == 2


async def test_one_transaction_forgets_a_bounded_number_of_rows(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await archive.report("a", times=retention.ROWS + 10)
    await archive.end("a")
    await archive.deliver()
    archive.clock.advance(91 * DAY)
    before = archive.now() - timedelta(days=90)
    assert retention.ROWS < (await archive.rows())["alerts"] < 2 * retention.ROWS
    assert await archive.store.run(lambda unit: retention.forget_incidents(unit, before)) <= 4 * retention.ROWS
    assert (await archive.rows())["alerts"] > 0
    await archive.sweep()
    assert set((await archive.rows()).values()) == {0}


async def test_many_incidents_go_in_several_batches(archive: Archive) -> None:
    keys = [f"k{number}" for number in range(retention.INCIDENTS + 5)]
    for key in keys:
        await archive.report(key)
        await archive.end(key)
    await archive.deliver()
    archive.clock.advance(91 * DAY)
    await archive.sweep()
    assert (await archive.rows())["incidents"] == 0


async def test_replicas_may_sweep_at_once(archive: Archive) -> None:
    for number in range(30):
        await archive.report(f"k{number}")
        await archive.end(f"k{number}")
    kept = await archive.report("open")
    await archive.deliver()
    archive.clock.advance(91 * DAY)
    await asyncio.gather(*(archive.sweep() for _ in range(4)))
    assert (await archive.rows())["incidents"] == 1
    assert await archive.has(kept)


def entry(at: datetime) -> AuditEntry:
    return AuditEntry(at=at, actor="ana", address="local", action="test", target="t")


def test_default_is_ninety_days_and_a_year() -> None:
    settings = RetentionSettings()
    assert (settings.incident_seconds, settings.audit_seconds) == (90 * DAY, 365 * DAY)
    assert RetentionSettings(incidents=None, audit=None).incident_seconds is None


@pytest.mark.parametrize("days", [0, 0.5, -1, float("inf"), float("nan")])
def test_retention_of_less_than_a_day_is_refused(days: float) -> None:
    with pytest.raises(ValueError, match="incidents"):
        RetentionSettings(incidents=days)
