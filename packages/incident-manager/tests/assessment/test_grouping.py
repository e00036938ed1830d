"""An incident that is assessed may belong to a group: its page waits for both."""

from datetime import UTC, datetime

import pytest

from incident_manager.domain.delivery import GROUP, GROUPING
from incident_manager.domain.grouping import GroupingRule, GroupingRules
from incident_manager.domain.severity import Severity
from incident_manager.pipeline.grouping_worker import GroupingWorker

from .conftest import Desk


@pytest.fixture
def rules(grouping: GroupingRules) -> GroupingRules:
    grouping.replace([GroupingRule(name="cluster", labels=("cluster",))])
    return grouping


@pytest.fixture
def worker(desk: Desk, rules: GroupingRules) -> GroupingWorker:
    return GroupingWorker(desk.store, desk.plan, desk.clock, on_released=desk.released.set)


async def sent(desk: Desk) -> list[str]:
    now = datetime.fromtimestamp(desk.clock.time(), UTC)
    claimed = await desk.store.outbox.claim(destination="slack", worker="w", now=now, lease=60, limit=10)
    return [delivery.incident_id for delivery in claimed]


async def test_page_waits_for_the_group_when_the_findings_come_first(desk: Desk, worker: GroupingWorker) -> None:
    incident_id = await desk.report("Slow answers", labels={"cluster": "eu1"})
    await desk.assess()
    [page] = await desk.deliveries(incident_id)
    assert page.held_by == GROUPING
    await worker.step()
    assert await sent(desk) == [incident_id]


async def test_page_waits_for_the_findings_when_the_group_comes_first(desk: Desk, worker: GroupingWorker) -> None:
    incident_id = await desk.report("Slow answers", labels={"cluster": "eu1"})
    await worker.step()
    assert await sent(desk) == []
    await desk.assess()
    assert await sent(desk) == [incident_id]


async def test_incident_of_the_group_that_proves_worse_is_told(desk: Desk, worker: GroupingWorker) -> None:
    first = await desk.report("Nothing special", severity=Severity.P1, labels={"cluster": "eu1", "host": "a"})
    desk.clock.advance(1)
    second = await desk.report("Total outage", severity=Severity.P3, labels={"cluster": "eu1", "host": "b"})
    await worker.step()
    assert [page.held_by for page in await desk.deliveries(second)] == [GROUP]
    await desk.assess()
    assert (await desk.incident(second)).severity is Severity.P0
    await worker.step()
    assert await sent(desk) == [first, second]
    told = [page for page in await desk.deliveries(second) if page.leased_by is not None]
    assert [page.payload["assessment"]["classified_by"] for page in told] == ["sentinel"]
    assert [page.payload["group"]["size"] for page in told] == [2]
