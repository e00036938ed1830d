"""An incident that is assessed may belong to a group: its page waits for both."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from testing.live import LiveApp
from testing.receiver import Receiver
from testing.service import eventually

from incident_manager.app import create_app
from incident_manager.demo.llm.faults import Fault
from incident_manager.demo.llm.server import ServiceServer
from incident_manager.domain.delivery import GROUP, GROUPING
from incident_manager.domain.grouping import GroupingRule, GroupingRules
from incident_manager.domain.severity import Severity
from incident_manager.pipeline.grouping_worker import POLL, GroupingWorker
from incident_manager.settings import Settings

from .conftest import KEY, Desk


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


def test_service_tells_at_once_of_the_incident_that_proves_worse(
    servers: dict[str, ServiceServer], tmp_path: Path
) -> None:
    service = {"url": servers["sentinel"].url, "dialect": "native", "auth": {"type": "api_key", "key": KEY}}
    with Receiver() as receiver:
        webhook = {"type": "webhook", "url": receiver.url, "allow_private": True}
        settings = Settings.model_validate(
            {
                "data_dir": tmp_path / "service",
                "destinations": {"ops": webhook},
                "grouping": [{"name": "cluster", "labels": ["cluster"]}],
                "services": {"sentinel": service},
            }
        )
        with LiveApp(create_app(settings)) as live, live.client() as client:

            def report(title: str, severity: str) -> str:
                alert = {"title": title, "severity": severity, "labels": {"cluster": "eu1"}, "dedup_key": title}
                [accepted] = client.post("/v1/alerts", json=alert).raise_for_status().json()["alerts"]
                return str(accepted["incident_id"])

            def told() -> list[str]:
                return [request.json["data"]["incident"]["id"] for request in receiver.requests]

            first = report("Nothing special", "P1")
            eventually(told, lambda ids: ids == [first])
            servers["sentinel"].switch.fault = Fault.SLOW  # so that the group is decided on before
            second = report("Total outage", "P3")
            eventually(told, lambda ids: second in ids, timeout=POLL / 2)
