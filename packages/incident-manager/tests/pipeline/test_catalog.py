"""An incident about a service of the catalogue: how bad it is at least, and what people are told of the service."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from incident_manager.domain.alert import new_alert
from incident_manager.domain.catalog import Catalog, CatalogService
from incident_manager.domain.delivery import Delivery
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import Edit
from incident_manager.domain.severity import Severity
from incident_manager.notify.email_message import text_body
from incident_manager.notify.routing import Route, Router
from incident_manager.notify.slack_message import block_message
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.store.database import Store
from recloser.testing import FakeClock

SHOP = CatalogService(
    name="shop", matchers={"service": "shop"}, owner="payments", tier="1", runbook="https://runbooks.example.org/shop"
)


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


class Desk:
    """Alerts about a service of a catalogue."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.catalog = Catalog([SHOP], {"1": Severity.P1})
        routes = [Route(frozenset(), ("slack",)), Route(frozenset(), ("pager",), owners=("pay*",), tiers=("1", "2"))]
        plan = AssessmentPlan().with_catalog(self.catalog)
        router = Router(routes, self.catalog)
        self.pipeline = AlertPipeline(store, router, clock, plan=plan)
        self.actions = IncidentActions(store, router, clock, plan=plan)

    async def report(self, severity: Severity, service: str = "shop") -> Incident:
        at = datetime.fromtimestamp(self.clock.time(), UTC)
        labels = {"service": service}
        alert = new_alert(source="test", title="Slow", severity=severity, labels=labels, received_at=at)
        [accepted] = await self.pipeline.accept([alert])
        assert accepted.incident_id is not None
        return await self.incident(accepted.incident_id)

    async def incident(self, incident_id: str) -> Incident:
        return await self.store.read(lambda unit: unit.get(incident_id))

    async def deliveries(self, incident: Incident) -> Sequence[Delivery]:
        return await self.store.read(lambda unit: unit.deliveries(incident.id))


@pytest.fixture
def desk(store: Store, clock: FakeClock) -> Desk:
    return Desk(store, clock)


async def test_tier_raises_the_severity_and_the_timeline_says_so(desk: Desk) -> None:
    incident = await desk.report(Severity.P3)
    assert incident.severity is Severity.P1
    timeline = await desk.store.read(lambda unit: unit.timeline(incident.id))
    assert [entry.message for entry in timeline if entry.actor == "catalog"] == ["severity P3 -> P1 by catalog"]


async def test_tier_makes_nothing_milder_and_changes_nothing_that_a_person_reports(desk: Desk) -> None:
    assert (await desk.report(Severity.P0)).severity is Severity.P0
    reported = await desk.actions.create(title="Slow", severity=Severity.P3, by="ana", labels={"service": "shop"})
    assert reported.severity is Severity.P3


async def test_severity_that_a_person_lowered_stays(desk: Desk) -> None:
    incident = await desk.report(Severity.P3)
    await desk.actions.patch(incident.id, Edit(severity=Severity.P4), by="ana")
    assert (await desk.report(Severity.P3)).severity is Severity.P4


async def test_routes_go_by_owner_and_tier(desk: Desk) -> None:
    shop, other = await desk.report(Severity.P3), await desk.report(Severity.P3, "cart")
    assert [delivery.destination for delivery in await desk.deliveries(shop)] == ["slack", "pager"]
    assert [delivery.destination for delivery in await desk.deliveries(other)] == ["slack"]


async def test_notification_holds_the_service(desk: Desk) -> None:
    [first, _] = await desk.deliveries(await desk.report(Severity.P3))
    assert first.payload["service"] == SHOP.to_dict()
    text = str(block_message(first))
    assert "payments" in text
    assert "https://runbooks.example.org/shop" in text
    assert "Runbook: https://runbooks.example.org/shop" in text_body(first)
    assert "service" not in (await desk.deliveries(await desk.report(Severity.P3, "cart")))[0].payload
