"""With a service failing, in whatever way: rules stand in, that is visible, and what was put off is done later."""

import asyncio

import pytest

from incident_manager.demo.llm.faults import Fault
from incident_manager.domain.assessment import Job
from incident_manager.domain.severity import Severity
from incident_manager.pipeline.assess import Settlement
from recloser import State

from .conftest import Desk

STAND_INS = [
    ("sentinel", Job.SEVERITY, "classified_by", "rules", "sentinel"),
    ("shield", Job.SECURITY, "security", "unscanned", "clean"),
    ("edge_agent", Job.SUMMARY, "summary_by", "template", "edge-agent"),
    ("governance", Job.COMPLIANCE, "compliance", "not_checked", "compliant"),
]


def _is_complete(shown: dict[str, object]) -> bool:
    return {"security", "classified_by", "summary_by", "compliance"} <= shown.keys()


@pytest.mark.parametrize(("service", "job", "field", "fallback", "real"), STAND_INS)
@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.THROTTLED, Fault.GARBAGE, Fault.TRUNCATED])
async def test_rules_stand_in_and_the_service_is_asked_again(
    desk: Desk, service: str, job: Job, field: str, fallback: str, real: str, fault: Fault
) -> None:
    switch = desk.servers[service].switch
    switch.fault = fault
    incident_id = await desk.report("Slow answers")
    await desk.assess()
    shown = await desk.shown(incident_id)
    assert shown[field] == fallback
    assert _is_complete(shown), "the other services are asked all the same"
    assert (await desk.assessments(incident_id))[job].is_pending
    assert (desk.worker.settled[job, Settlement.ANSWERED], desk.worker.settled[job, Settlement.POSTPONED]) == (0, 1)
    [told] = await desk.deliveries(incident_id)
    assert told.payload["assessment"][field] == fallback

    switch.mend()
    desk.clock.advance(60)
    await desk.assess()
    assert (await desk.shown(incident_id))[field] == real
    assert not (await desk.assessments(incident_id))[job].is_pending
    assert desk.worker.settled[job, Settlement.ANSWERED] == 1


@pytest.mark.parametrize(("service", "job", "field", "fallback", "real"), STAND_INS)
async def test_dead_service_is_left_alone_until_its_circuit_allows(
    desk: Desk, service: str, job: Job, field: str, fallback: str, real: str
) -> None:
    server = desk.servers[service]
    server.stop()
    incidents = [await desk.report(f"Slow answers {number}") for number in range(5)]
    await desk.assess()
    assert desk.registry[f"{service.replace('_', '-')}-llm"].state is State.OPEN
    assert [(await desk.shown(incident_id))[field] for incident_id in incidents] == [fallback] * 5

    server.start()
    for _ in range(10):
        desk.clock.advance(60)
        await desk.assess()
    assert [(await desk.shown(incident_id))[field] for incident_id in incidents] == [real] * 5
    assert desk.registry[f"{service.replace('_', '-')}-llm"].state is State.CLOSED


@pytest.mark.parametrize("patience", [0.2])
@pytest.mark.parametrize("fault", [Fault.HANG, Fault.SLOW])
async def test_slow_service_delays_the_notification_no_longer_than_the_patience(desk: Desk, fault: Fault) -> None:
    switch = desk.servers["sentinel"].switch
    switch.fault, switch.delay = fault, 1.0
    incident_id = await desk.report("Total outage", severity=Severity.P2)
    assert await desk.worker.step() == 0.0
    async with asyncio.timeout(20):
        await desk.released.wait()
    assert (await desk.shown(incident_id))["classified_by"] == "rules"
    assert desk.worker.settled[Job.SEVERITY, Settlement.LATE] == 1
    released = await desk.deliveries(incident_id)
    assert {item.held_until for item in released} == {None}
    await desk.worker.finish()


@pytest.mark.parametrize("patience", [0.2])
async def test_late_answer_counts_when_it_comes(desk: Desk, patience: float) -> None:
    switch = desk.servers["sentinel"].switch
    switch.fault, switch.delay = Fault.SLOW, 3 * patience
    incident_id = await desk.report("Total outage", severity=Severity.P2)
    await desk.assess()
    assert (await desk.shown(incident_id))["classified_by"] == "sentinel"
    timeline = await desk.timeline(incident_id)
    assert timeline.index("severity assessed by rules, because its service could not be asked yet") < timeline.index(
        "severity assessed by sentinel"
    )


async def test_refused_request_is_not_repeated(desk: Desk) -> None:
    switch = desk.servers["sentinel"].switch
    switch.fault, switch.status = Fault.ERROR, 422
    incident_id = await desk.report("Slow answers")
    await desk.assess()
    assert (await desk.shown(incident_id))["classified_by"] == "rules"
    assert not (await desk.assessments(incident_id))[Job.SEVERITY].is_pending


async def test_rules_know_critical_services(desk: Desk) -> None:
    desk.servers["sentinel"].switch.fault = Fault.ERROR
    incident_id = await desk.report("Queue grows", severity=Severity.P3, labels={"service": "payments"})
    await desk.assess()
    assert (await desk.incident(incident_id)).severity is Severity.P2


async def test_service_that_never_recovers_is_given_up_after_a_day(desk: Desk) -> None:
    desk.servers["sentinel"].switch.fault = Fault.ERROR
    incident_id = await desk.report("Slow answers")
    await desk.assess()
    desk.clock.advance(24 * 3600)
    await desk.assess()
    found = (await desk.assessments(incident_id))[Job.SEVERITY]
    assert not found.is_pending
    assert found.finding is not None
    assert found.finding.by == "rules"


async def test_everything_dead_still_tells_people(desk: Desk) -> None:
    for server in desk.servers.values():
        server.switch.fault = Fault.ERROR
    incident_id = await desk.report("Data loss in orders", severity=Severity.P3)
    await desk.assess()
    assert (await desk.incident(incident_id)).severity is Severity.P0
    assert {item.destination for item in await desk.deliveries(incident_id)} == {"slack", "pager"}


async def test_alerts_are_taken_without_asking_any_service(desk: Desk) -> None:
    for server in desk.servers.values():
        server.switch.fault = Fault.HANG
    await desk.report("Slow answers")
    assert all(server.switch.requests == [] for server in desk.servers.values())


async def test_killed_worker_leaves_its_incidents_to_the_next(desk: Desk) -> None:
    incident_id = await desk.report("Slow answers")
    now = (await desk.incident(incident_id)).created_at
    claimed = await desk.worker.queue.claim(worker="dead", now=now, lease=120, limit=10)
    assert len(claimed) == 4
    await desk.assess()
    assert await desk.shown(incident_id) == {}, "another one has it"

    desk.clock.advance(121)
    await desk.assess()
    assert _is_complete(await desk.shown(incident_id))
