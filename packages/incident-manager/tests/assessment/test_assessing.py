"""With every service well: what is found out about an incident, and what follows from it."""

from datetime import UTC, datetime, timedelta

from incident_manager.domain.assessment import Job
from incident_manager.domain.delivery import NotificationEvent
from incident_manager.domain.lifecycle import Edit
from incident_manager.domain.severity import Severity

from .conftest import HOLD, Desk


def _now(desk: Desk) -> datetime:
    return datetime.fromtimestamp(desk.clock.time(), UTC)


async def test_every_service_is_asked_and_named(desk: Desk) -> None:
    incident_id = await desk.report("Slow answers", labels={"personal_data": "true"})
    await desk.assess()
    shown = await desk.shown(incident_id)
    assert shown["security"] == "clean"
    assert shown["classified_by"] == "sentinel"
    assert (shown["summary_by"], shown["summary"]) == ("edge-agent", "In short: Slow answers")
    assert (shown["compliance"], shown["compliance_notes"]) == (
        "violation",
        ["GDPR: personal data", "tell the authority"],
    )
    assert not any(item.is_pending for item in (await desk.assessments(incident_id)).values())


async def test_timeline_tells_who_assessed_what(desk: Desk) -> None:
    incident_id = await desk.report("Slow answers")
    await desk.assess()
    timeline = await desk.timeline(incident_id)
    assert "severity assessed by sentinel" in timeline
    assert "summary assessed by edge-agent" in timeline


async def test_first_notification_waits_for_the_findings_and_holds_them(desk: Desk) -> None:
    incident_id = await desk.report("Slow answers")
    [held] = await desk.deliveries(incident_id)
    assert held.held_until == _now(desk) + timedelta(seconds=HOLD)
    assert held.payload["assessment"] == {}

    await desk.assess()
    [released] = await desk.deliveries(incident_id)
    assert released.held_until is None
    assert released.payload["assessment"]["summary"] == "In short: Slow answers"


async def test_worse_severity_reaches_those_it_concerns_with_one_message_each(desk: Desk) -> None:
    incident_id = await desk.report("Total outage", severity=Severity.P3)
    await desk.assess()
    assert (await desk.incident(incident_id)).severity is Severity.P0
    told = {(item.destination, item.event, item.payload["severity"]) for item in await desk.deliveries(incident_id)}
    assert told == {("slack", NotificationEvent.TRIGGERED, "P0"), ("pager", NotificationEvent.TRIGGERED, "P0")}


async def test_milder_prediction_changes_nothing(desk: Desk) -> None:
    incident_id = await desk.report("Nothing special", severity=Severity.P1)
    await desk.assess()
    assert (await desk.incident(incident_id)).severity is Severity.P1


async def test_severity_that_a_person_set_stays(desk: Desk) -> None:
    incident_id = await desk.report("Total outage", severity=Severity.P3)
    await desk.actions.patch(incident_id, Edit(severity=Severity.P4), by="ana")
    await desk.assess()
    assert (await desk.incident(incident_id)).severity is Severity.P4


async def test_secrets_leave_neither_to_receivers_nor_to_models(desk: Desk) -> None:
    incident_id = await desk.report("Login fails with password: hunter2", description="ssn: 123-45-6789")
    [before] = await desk.deliveries(incident_id)
    assert "hunter2" not in str(before.payload), "our own redaction, before anything was scanned"

    await desk.assess()
    [after] = await desk.deliveries(incident_id)
    assert after.payload["title"] == "Login fails with password: [REMOVED]"
    assert after.payload["description"] == "ssn: [REMOVED]"
    assert after.payload["assessment"]["security"] == "sanitized"
    assert "hunter2" not in str((await desk.assessments(incident_id))[Job.SUMMARY].finding)


async def test_later_notifications_are_clean_too(desk: Desk) -> None:
    incident_id = await desk.report("Login fails with password: hunter2")
    await desk.assess()
    await desk.actions.resolve(incident_id, by="ana")
    resolved = (await desk.deliveries(incident_id))[-1]
    assert resolved.event is NotificationEvent.RESOLVED
    assert resolved.payload["title"] == "Login fails with password: [REMOVED]"


async def test_text_changed_after_the_scan_is_redacted_and_called_unscanned(desk: Desk) -> None:
    incident_id = await desk.report("Login fails")
    await desk.assess()
    await desk.actions.patch(incident_id, Edit(title="Login fails, api_key=abcdef123456"), by="ana")
    await desk.actions.acknowledge(incident_id, by="ana")
    told = (await desk.deliveries(incident_id))[-1].payload
    assert told["title"] == "Login fails, api_key=[REDACTED:secret]"
    assert told["assessment"]["security"] == "unscanned"


async def test_incident_reported_by_hand_is_assessed(desk: Desk) -> None:
    incident = await desk.actions.create(title="Slow answers", severity=Severity.P2, by="ana")
    await desk.assess()
    assert (await desk.shown(incident.id))["summary_by"] == "edge-agent"
