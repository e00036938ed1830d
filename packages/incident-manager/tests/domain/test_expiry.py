"""Incidents whose sender says until when an alert holds, and acknowledgements by alert."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.ids import event_id, is_event_id, new_id
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import expire, merge_alert, open_from_alert
from incident_manager.domain.timeline import TimelineKind

NOW = datetime(2026, 1, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def alert(minutes: float = 0, holds_for: float | None = 4, status: AlertStatus = AlertStatus.FIRING) -> Alert:
    """An alert received after some minutes that holds for some more, or until its sender says otherwise."""
    received_at = NOW + minutes * MINUTE
    ends_at = None if holds_for is None else received_at + holds_for * MINUTE
    return new_alert(
        source="prometheus", title="Down", status=status, received_at=received_at, starts_at=NOW, ends_at=ends_at
    )


def opened(holds_for: float | None = 4) -> Incident:
    return open_from_alert(alert(holds_for=holds_for))[0]


def test_an_incident_expires_when_its_alert_no_longer_holds() -> None:
    assert opened().expires_at == NOW + 4 * MINUTE
    assert opened(holds_for=None).expires_at is None


def test_a_repeated_alert_prolongs_it() -> None:
    repeated, entries = merge_alert(opened(), alert(1))
    assert (repeated.expires_at, entries) == (NOW + 5 * MINUTE, [])


def test_a_repetition_that_was_overtaken_shortens_nothing() -> None:
    repeated, _ = merge_alert(opened(), alert(1))
    late, _ = merge_alert(repeated, alert(0.5))
    assert late.expires_at == NOW + 5 * MINUTE


def test_an_alert_without_an_end_holds_until_its_sender_says_otherwise() -> None:
    assert merge_alert(opened(), alert(1, holds_for=None))[0].expires_at is None
    assert merge_alert(opened(holds_for=None), alert(1))[0].expires_at == NOW + 5 * MINUTE


def test_an_expired_incident_is_resolved_and_says_why() -> None:
    done, [entry] = expire(opened(), NOW + 4 * MINUTE)
    assert (done.status, done.resolved_at, done.resolved_by) == (Status.RESOLVED, NOW + 4 * MINUTE, "system")
    assert done.resolution == "prometheus did not repeat it, and it was said to end at 2026-01-01T10:04:00+00:00"
    assert entry.kind is TimelineKind.RESOLVED


def test_what_still_holds_or_has_ended_does_not_expire() -> None:
    fresh = opened()
    assert expire(fresh, NOW + 4 * MINUTE - timedelta(microseconds=1)) == (fresh, [])
    forever = opened(holds_for=None)
    assert expire(forever, NOW + 10_000 * MINUTE) == (forever, [])
    done, _ = expire(opened(), NOW + 5 * MINUTE)
    assert expire(done, NOW + 6 * MINUTE) == (done, [])


@given(minutes=st.lists(st.floats(0, 60, allow_nan=False), max_size=8))
def test_it_expires_when_the_longest_promise_ends_in_whichever_order_they_come(minutes: list[float]) -> None:
    incident = opened()
    for moment in minutes:
        incident, _ = merge_alert(incident, alert(moment))
    assert incident.expires_at == max(alert(moment).ends_at or NOW for moment in [0, *minutes])


def test_an_acknowledging_alert_acknowledges_the_incident_once() -> None:
    seen, [entry] = merge_alert(opened(), alert(1, None, AlertStatus.ACKNOWLEDGED))
    assert (seen.acknowledged_at, seen.acknowledged_by) == (NOW + MINUTE, "source:prometheus")
    assert (seen.status, seen.alert_count, seen.expires_at) == (Status.DETECTED, 1, NOW + 4 * MINUTE)
    assert entry.kind is TimelineKind.ACKNOWLEDGED
    assert merge_alert(seen, alert(2, None, AlertStatus.ACKNOWLEDGED)) == (seen, [])


def test_an_event_has_the_same_id_whenever_it_is_delivered() -> None:
    assert event_id("cloudevents", "/a", "1") == event_id("cloudevents", "/a", "1")
    assert event_id("cloudevents", "/a", "1") != event_id("cloudevents", "/a1", "")
    assert is_event_id(event_id("a"))
    assert not is_event_id(new_id("alt", NOW))


@pytest.mark.parametrize("parts", [("",), ("ü", "\ud800")])
def test_an_event_id_fits_the_column(parts: tuple[str, ...]) -> None:
    assert len(event_id(*parts)) == 36
