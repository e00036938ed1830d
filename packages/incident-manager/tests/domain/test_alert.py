"""An alert knows which trouble it is about, and which moment it speaks of."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from incident_manager.domain.alert import AlertStatus, new_alert

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_without_a_start_it_starts_when_it_is_received() -> None:
    assert new_alert(source="s", title="t", received_at=NOW).starts_at == NOW


def test_an_end_alone_is_the_moment_it_speaks_of() -> None:
    alert = new_alert(source="s", title="t", status=AlertStatus.RESOLVED, received_at=NOW, ends_at=NOW - MINUTE)
    assert alert.decided_at == NOW - MINUTE


def test_the_newer_of_start_and_end_is_the_moment_a_resolved_one_speaks_of() -> None:
    times = {"starts_at": NOW - 2 * MINUTE, "ends_at": NOW - MINUTE}
    alert = new_alert(source="s", title="t", status=AlertStatus.RESOLVED, received_at=NOW, **times)
    assert alert.decided_at == NOW - MINUTE


def test_a_firing_one_speaks_of_its_start_even_when_it_foresees_an_end() -> None:
    times = {"starts_at": NOW - 2 * MINUTE, "ends_at": NOW + MINUTE}
    assert new_alert(source="s", title="t", received_at=NOW, **times).decided_at == NOW - 2 * MINUTE


def test_timestamps_are_kept_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    alert = new_alert(source="s", title="t", received_at=NOW, starts_at=NOW.astimezone(berlin))
    assert alert.starts_at.tzinfo is UTC
    assert alert.starts_at == NOW


@pytest.mark.parametrize("field", ["starts_at", "ends_at", "received_at"])
def test_a_timestamp_without_time_zone_is_refused(field: str) -> None:
    times = {"received_at": NOW, field: NOW.replace(tzinfo=None)}
    with pytest.raises(ValueError, match=f"{field}=2026-01-01T12:00:00: a timestamp needs a time zone"):
        new_alert(source="s", title="t", **times)


def test_the_labels_given_are_copied() -> None:
    labels = {"a": "b"}
    alert = new_alert(source="s", title="t", received_at=NOW, labels=labels)
    labels["a"] = "c"
    assert alert.labels == {"a": "b"}


def test_severity_and_text_are_no_part_of_the_identity() -> None:
    first = new_alert(source="s", title="90 %", received_at=NOW, labels={"disk": "a"})
    second = new_alert(source="s", title="95 %", description="worse", received_at=NOW + MINUTE, labels={"disk": "a"})
    assert first.fingerprint == second.fingerprint
    assert first.id != second.id
