from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.oncall import Rotation
from incident_manager.domain.severity import Severity
from incident_manager.notify.routing import Route, Router
from incident_manager.pipeline.router import Step
from recloser.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)


def incident(severity: Severity) -> Incident:
    return Incident(
        id="inc_1",
        fingerprint="f",
        title="t",
        description="",
        severity=severity,
        severity_locked=False,
        status=Status.DETECTED,
        source="s",
        labels={},
        annotations={},
        alert_count=1,
        first_seen=AT,
        last_seen=AT,
        starts_at=AT,
        created_at=AT,
        updated_at=AT,
        version=1,
    )


ROUTER = Router(
    [
        Route(frozenset({Severity.P0}), ("pager", "chat")),
        Route(frozenset({Severity.P0, Severity.P1}), ("chat",)),
        Route(frozenset(), ("archive",)),
    ]
)


@pytest.mark.parametrize(
    ("severity", "told"),
    [
        (Severity.P0, ["pager", "chat", "archive"]),
        (Severity.P1, ["chat", "archive"]),
        (Severity.P4, ["archive"]),
    ],
)
def test_every_matching_rule_is_applied_and_nobody_is_told_twice(severity: Severity, told: list[str]) -> None:
    assert ROUTER.destinations_for(incident(severity)) == told


def test_without_rules_nobody_is_told() -> None:
    assert Router([]).destinations_for(incident(Severity.P0)) == []


def test_rotation_stands_for_who_is_on_call_now_and_in_an_escalation_for_who_is_then() -> None:
    clock = FakeClock(time=AT.timestamp())
    rotation = Rotation(people=("ana", "bo"), zone=ZoneInfo("UTC"), first=AT.date(), at=time(12))
    route = Route(frozenset(), ("on-call", "chat"), escalation=(Step(3600.0, "on-call"), Step(86_400.0, "on-call")))
    router = Router([route], rotations={"on-call": rotation}, clock=clock)
    assert router.destinations_for(incident(Severity.P1)) == ["bo", "chat"]
    assert router.escalation_for(incident(Severity.P1)) == [Step(3600.0, "bo"), Step(86_400.0, "ana")]
    clock.advance(12 * 3600)
    assert router.destinations_for(incident(Severity.P1)) == ["ana", "chat"]
