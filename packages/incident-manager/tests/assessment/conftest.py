"""Everything that assesses incidents, on a real store, with the four services running and time that only tests move."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from incident_manager.demo.llm import edge_agent, governance, sentinel, shield
from incident_manager.demo.llm.server import ServiceServer
from incident_manager.domain.alert import new_alert
from incident_manager.domain.assessment import Assessment, Finding, Job, outline
from incident_manager.domain.delivery import Delivery
from incident_manager.domain.grouping import GroupingRules
from incident_manager.domain.incident import Incident
from incident_manager.llm.factory import build_assessors, build_services
from incident_manager.notify.backoff import Backoff
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.assess import AssessmentPolicy, AssessmentWorker
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.router import Step
from incident_manager.protection import breaker_table, build_registry
from incident_manager.settings.services import AssessmentSettings, ServicesSettings
from incident_manager.store import assessments
from incident_manager.store.database import Store
from recloser import Registry
from recloser.testing import FakeClock

KEY = "k-1234567890"
ROUTES = {
    "sentinel": sentinel.ROUTES,
    "shield": shield.ROUTES,
    "edge_agent": edge_agent.ROUTES,
    "governance": governance.ROUTES,
}
HOLD = 10.0


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, ServiceServer]]:
    """The four services; starting one takes longer than a test."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(ServiceServer(routes, value=KEY)) for name, routes in ROUTES.items()}


@pytest.fixture
def servers(running: dict[str, ServiceServer]) -> dict[str, ServiceServer]:
    """The four services, all of them well."""
    for server in running.values():
        server.switch.mend()
    return running


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves only when told."""
    return FakeClock()


class Routes:
    """Everything goes to `slack`, and the worst to `pager` too."""

    def destinations_for(self, incident: Incident) -> list[str]:
        return ["slack", "pager"] if incident.severity.rank <= 1 else ["slack"]

    def escalation_for(self, incident: Incident) -> list[Step]:
        return []


@dataclass
class Desk:
    """What a test works with."""

    store: Store
    registry: Registry
    clock: FakeClock
    pipeline: AlertPipeline
    actions: IncidentActions
    worker: AssessmentWorker
    servers: dict[str, ServiceServer]
    plan: AssessmentPlan
    released: asyncio.Event
    """Set when notifications became due that were held."""

    async def report(self, title: str, **values: Any) -> str:
        """Take an alert, and return the id of its incident."""
        at = datetime.fromtimestamp(self.clock.time(), UTC)
        alert = new_alert(source="test", title=title, received_at=at, **values)
        [accepted] = await self.pipeline.accept([alert])
        assert accepted.incident_id is not None
        return accepted.incident_id

    async def assess(self) -> None:
        """Do all that is due, to the end."""
        while await self.worker.step() == 0.0:
            await self.worker.finish()

    async def incident(self, incident_id: str) -> Incident:
        return await self.store.read(lambda unit: unit.get(incident_id))

    async def assessments(self, incident_id: str) -> dict[Job, Assessment]:
        found = await self.store.read(lambda unit: assessments.of_incident(unit, incident_id))
        return {item.job: item for item in found}

    async def shown(self, incident_id: str) -> dict[str, Any]:
        """What is told of the assessment."""
        found = (await self.assessments(incident_id)).values()
        findings: list[Finding] = [item.finding for item in found if item.finding is not None]
        return outline(findings)

    async def deliveries(self, incident_id: str) -> list[Delivery]:
        return list(await self.store.read(lambda unit: unit.deliveries(incident_id)))

    async def timeline(self, incident_id: str) -> list[str]:
        return [entry.message for entry in await self.store.read(lambda unit: unit.timeline(incident_id))]


@pytest.fixture
def patience() -> float:
    """Seconds until rules stand in for a service."""
    return 5.0


@pytest.fixture
def grouping() -> GroupingRules:
    """Which incidents belong together: none, unless a test says so."""
    return GroupingRules()


@pytest.fixture
async def desk(
    servers: dict[str, ServiceServer], clock: FakeClock, tmp_path: Path, patience: float, grouping: GroupingRules
) -> AsyncIterator[Desk]:
    """All four services are set."""
    auth = {"type": "api_key", "key": KEY}
    common = {name: {"url": server.url, "auth": auth, "timeout": 5.0} for name, server in servers.items()}
    common["sentinel"]["dialect"] = "native"
    common["edge_agent"]["model"] = "small"
    common["governance"]["frameworks"] = ["GDPR"]
    services = ServicesSettings.model_validate(common)
    registry = build_registry(breaker_table([], None, services.present), clock)
    clients = build_services(services, registry, clock)
    assessors = build_assessors(clients, services, AssessmentSettings(critical_services=frozenset({"payments"})))
    store = Store(f"sqlite:///{tmp_path}/data/incidents.db", registry["database"])
    await store.start()
    plan = AssessmentPlan.of(assessors, HOLD).with_grouping(grouping)
    released = asyncio.Event()
    policy = AssessmentPolicy(patience=patience, backoff=Backoff(base=5.0, maximum=60.0, random=lambda: 1.0))
    worker = AssessmentWorker(store, assessors, Routes(), clock, on_enqueued=released.set, plan=plan, policy=policy)
    yield Desk(
        store=store,
        registry=registry,
        clock=clock,
        pipeline=AlertPipeline(store, Routes(), clock, plan=plan),
        actions=IncidentActions(store, Routes(), clock, plan=plan),
        worker=worker,
        servers=servers,
        plan=plan,
        released=released,
    )
    await worker.stop()
    await clients.close()
    await store.close()
