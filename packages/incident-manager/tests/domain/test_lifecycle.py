"""What may happen to an incident, and what each act changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import InvalidTransitionError, VersionConflictError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import (
    Edit,
    acknowledge,
    edit,
    merge_alert,
    open_by_hand,
    open_from_alert,
    require_version,
    resolve,
    transition,
)
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineKind

NOW = datetime(2026, 1, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OPEN = [status for status in Status if status.is_open]


def alert(minutes: float = 0, status: AlertStatus = AlertStatus.FIRING, **fields: object) -> Alert:
    values = {"labels": {"alertname": "Down"}, "source": "prometheus", "title": "Down", **fields}
    return new_alert(status=status, received_at=NOW + minutes * MINUTE, **values)  # type: ignore[arg-type]


def incident(status: Status = Status.DETECTED, **fields: object) -> Incident:
    opened, _ = open_from_alert(alert())
    return replace(opened, status=status, **fields)  # type: ignore[arg-type]


def test_a_firing_alert_opens_an_incident_that_is_detected() -> None:
    first = alert(severity=Severity.P1, description="no answer", annotations={"runbook": "r"})
    opened, [entry] = open_from_alert(first)
    assert (opened.status, opened.version, opened.alert_count) == (Status.DETECTED, 1, 1)
    assert (opened.severity, opened.severity_locked) == (Severity.P1, False)
    assert (opened.title, opened.description, opened.fingerprint) == ("Down", "no answer", first.fingerprint)
    assert (opened.labels, opened.annotations) == ({"alertname": "Down"}, {"runbook": "r"})
    assert opened.first_seen == opened.last_seen == opened.created_at == NOW
    assert (entry.kind, entry.actor, entry.at) == (TimelineKind.OPENED, "source:prometheus", NOW)
    assert entry.data == {"alert_id": first.id}


def test_an_incident_opened_by_hand_matches_no_alert() -> None:
    opened, [entry] = open_by_hand(title="Slow", severity=Severity.P3, by="ada", at=NOW, assignee="bob")
    assert opened.fingerprint == opened.id
    assert (opened.alert_count, opened.assignee, opened.severity_locked) == (0, "bob", True)
    assert (entry.kind, entry.actor) == (TimelineKind.OPENED, "ada")


@pytest.mark.parametrize("start", OPEN)
@pytest.mark.parametrize("to", list(Status))
def test_open_statuses_go_forward_or_to_resolved(start: Status, to: Status) -> None:
    order = list(Status)
    if to is not Status.CLOSED and order.index(to) > order.index(start):
        moved, [entry] = transition(incident(start), to, "ada", NOW + MINUTE)
        assert (moved.status, moved.version, moved.updated_at) == (to, 2, NOW + MINUTE)
        assert entry.data == {"from": start.value, "to": to.value, "note": None}
    else:
        with pytest.raises(InvalidTransitionError, match=f"is {start}, so it cannot go to '{to}'"):
            transition(incident(start), to, "ada", NOW)


@pytest.mark.parametrize("to", list(Status))
def test_after_resolved_comes_closed_and_nothing_else(to: Status) -> None:
    if to is Status.CLOSED:
        assert transition(incident(Status.RESOLVED), to, "ada", NOW)[0].status is to
    else:
        with pytest.raises(InvalidTransitionError):
            transition(incident(Status.RESOLVED), to, "ada", NOW)
    with pytest.raises(InvalidTransitionError, match="nothing follows it"):
        transition(incident(Status.CLOSED), to, "ada", NOW)


def test_resolving_tells_who_when_and_why() -> None:
    done, [entry] = resolve(incident(), "ada", NOW + MINUTE, "restarted it")
    assert (done.resolved_by, done.resolved_at, done.resolution) == ("ada", NOW + MINUTE, "restarted it")
    assert (entry.kind, entry.message) == (TimelineKind.RESOLVED, "detected -> resolved by ada: restarted it")


def test_acknowledging_is_recorded_apart_from_the_status() -> None:
    seen, [entry] = acknowledge(incident(Status.TRIAGED), "ada", NOW + MINUTE)
    assert (seen.acknowledged_by, seen.acknowledged_at, seen.status) == ("ada", NOW + MINUTE, Status.TRIAGED)
    assert (seen.version, entry.kind) == (2, TimelineKind.ACKNOWLEDGED)


def test_the_first_acknowledgement_stays() -> None:
    first, _ = acknowledge(incident(), "ada", NOW)
    assert acknowledge(first, "bob", NOW + MINUTE) == (first, [])


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.CLOSED])
def test_an_ended_incident_cannot_be_acknowledged(status: Status) -> None:
    with pytest.raises(InvalidTransitionError, match=f"is {status}"):
        acknowledge(incident(status), "ada", NOW)


def test_a_duplicate_updates_counters_and_adds_or_replaces_labels() -> None:
    before = incident(labels={"pod": "a", "zone": "1"}, annotations={"runbook": "r", "value": "90"})
    merged, entries = merge_alert(before, alert(5, labels={"pod": "b"}, annotations={"value": "95"}))
    assert (merged.alert_count, merged.last_seen, merged.first_seen) == (2, NOW + 5 * MINUTE, NOW)
    assert merged.labels == {"pod": "b", "zone": "1"}
    assert merged.annotations == {"runbook": "r", "value": "95"}
    assert entries == []


def test_a_duplicate_that_started_earlier_leaves_the_newest_start() -> None:
    newest, _ = merge_alert(incident(), alert(6, starts_at=NOW + 5 * MINUTE))
    assert newest.starts_at == NOW + 5 * MINUTE
    assert merge_alert(newest, alert(7, starts_at=NOW))[0].starts_at == NOW + 5 * MINUTE


def test_a_duplicate_leaves_what_people_did() -> None:
    before = incident(Status.INVESTIGATING)
    before, _ = acknowledge(before, "ada", NOW)
    before, _ = edit(before, Edit(assignee="bob", severity=Severity.P3, title="Disk", description="full"), "ada", NOW)
    after, entries = merge_alert(before, alert(9, title="Down", description="x", severity=Severity.P0))
    untouched = ("acknowledged_at", "acknowledged_by", "assignee", "severity", "title", "description", "status")
    assert [getattr(after, name) for name in untouched] == [getattr(before, name) for name in untouched]
    assert (after.alert_count, entries) == (2, [])


def test_a_duplicate_does_not_make_a_reading_outdated() -> None:
    assert merge_alert(incident(), alert(1))[0].version == incident().version


def test_an_alert_raises_the_severity() -> None:
    raised, [entry] = merge_alert(incident(), alert(1, severity=Severity.P0))
    assert (raised.severity, raised.version) == (Severity.P0, 2)
    assert (entry.kind, entry.data) == (TimelineKind.SEVERITY_CHANGED, {"from": "P2", "to": "P0"})


def test_an_alert_never_lowers_the_severity() -> None:
    assert merge_alert(incident(), alert(1, severity=Severity.P4))[0].severity is Severity.P2


def test_a_resolved_alert_resolves() -> None:
    done, [entry] = merge_alert(incident(), alert(3, AlertStatus.RESOLVED))
    assert (done.status, done.resolved_by, done.resolved_at) == (
        Status.RESOLVED,
        "source:prometheus",
        NOW + 3 * MINUTE,
    )
    assert (done.alert_count, entry.kind) == (1, TimelineKind.RESOLVED)


def test_a_resolved_alert_from_before_the_newest_start_is_ignored() -> None:
    newest, _ = merge_alert(incident(), alert(6, starts_at=NOW + 5 * MINUTE))
    late = alert(7, AlertStatus.RESOLVED, starts_at=NOW, ends_at=NOW + 3 * MINUTE)
    assert merge_alert(newest, late) == (newest, [])


def test_a_resolved_alert_that_ended_after_the_newest_start_counts_though_it_started_earlier() -> None:
    """Two Prometheus servers give one alert two starts, and Alertmanager keeps the earlier one."""
    newest, _ = merge_alert(incident(), alert(1, starts_at=NOW + MINUTE))
    done, _ = merge_alert(newest, alert(7, AlertStatus.RESOLVED, starts_at=NOW, ends_at=NOW + 6 * MINUTE))
    assert done.status is Status.RESOLVED


def test_an_alert_cannot_join_an_ended_incident() -> None:
    with pytest.raises(InvalidTransitionError, match="a new incident is opened instead"):
        merge_alert(incident(Status.RESOLVED), alert(1))


def test_one_edit_is_one_version_and_an_entry_for_each_change() -> None:
    changes = Edit(
        title="Disk", severity=Severity.P1, status=Status.TRIAGED, assignee="bob", note="looking", description="full"
    )
    edited, entries = edit(incident(), changes, "ada", NOW + MINUTE)
    assert (edited.title, edited.description, edited.assignee) == ("Disk", "full", "bob")
    assert (edited.severity, edited.severity_locked, edited.status) == (Severity.P1, True, Status.TRIAGED)
    assert (edited.version, edited.updated_at) == (2, NOW + MINUTE)
    kinds = [TimelineKind.STATUS_CHANGED, TimelineKind.SEVERITY_CHANGED, TimelineKind.ASSIGNED, TimelineKind.EDITED]
    assert [entry.kind for entry in entries] == kinds
    assert entries[0].message == "detected -> triaged by ada: looking"


def test_an_edit_that_changes_nothing_is_no_new_version() -> None:
    before, _ = edit(incident(), Edit(severity=Severity.P2, assignee="bob"), "ada", NOW)
    same = Edit(title=before.title, severity=Severity.P2, status=before.status, assignee="bob")
    assert edit(before, same, "ada", NOW + MINUTE) == (before, [])


def test_confirming_a_severity_locks_it() -> None:
    confirmed, [entry] = edit(incident(), Edit(severity=Severity.P2), "ada", NOW)
    assert (confirmed.severity_locked, entry.kind) == (True, TimelineKind.SEVERITY_CHANGED)


def test_a_note_alone_is_kept() -> None:
    noted, [entry] = edit(incident(Status.CLOSED), Edit(note="see the post-mortem"), "ada", NOW)
    assert (entry.kind, entry.message, noted.version) == (TimelineKind.NOTE, "see the post-mortem", 2)


def test_an_empty_assignee_unassigns() -> None:
    free, [entry] = edit(incident(assignee="bob"), Edit(assignee=""), "ada", NOW)
    assert (free.assignee, entry.data) == (None, {"from": "bob", "to": None})


def test_an_edit_obeys_the_lifecycle() -> None:
    with pytest.raises(InvalidTransitionError):
        edit(incident(Status.REMEDIATING), Edit(title="x", status=Status.TRIAGED), "ada", NOW)


def test_a_change_from_an_outdated_reading_is_refused() -> None:
    require_version(incident(), None)
    require_version(incident(), 1)
    with pytest.raises(VersionConflictError, match="has version 1, not 7") as caught:
        require_version(incident(), 7)
    assert (caught.value.expected, caught.value.actual) == (7, 1)


def test_an_incident_turns_into_plain_json() -> None:
    plain = resolve(incident(), "ada", NOW)[0].to_dict()
    assert (plain["severity"], plain["status"], plain["resolved_at"]) == ("P2", "resolved", "2026-01-01T10:00:00+00:00")
    assert type(plain["status"]) is str
