"""What holds after any sequence of acts on an incident."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from incident_manager.domain.alert import AlertStatus, new_alert
from incident_manager.domain.errors import InvalidTransitionError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import Change, Edit, acknowledge, edit, merge_alert, open_from_alert, transition
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineKind

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = list(Status)
severities = st.sampled_from(Severity)
people = st.sampled_from(["ada", "bob"])


class Life(RuleBasedStateMachine):
    """Acts at random; after each one the present incident is compared with the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.severity_by_hand: Severity | None = None

    @initialize(severity=severities)
    def alert_opens(self, severity: Severity) -> None:
        first = new_alert(source="s", title="t", severity=severity, received_at=self.now)
        self.incident, self.entries = open_from_alert(first)
        self.firing = 1

    def after(self, changed: Change) -> None:
        before, (incident, entries) = self.incident, changed
        assert ORDER.index(incident.status) >= ORDER.index(before.status), "there is no way back"
        assert incident.version - before.version in (0, 1)
        assert bool(entries) == (incident.version > before.version), "a version for each told change, and no other"
        assert incident.updated_at >= before.updated_at
        if before.acknowledged_at is not None:
            assert incident.acknowledged_at == before.acknowledged_at
            assert incident.acknowledged_by == before.acknowledged_by
        assert {entry.incident_id for entry in entries} <= {incident.id}
        self.incident = incident
        self.entries = [*self.entries, *entries]

    def try_to(self, act: Callable[[Incident], Change]) -> None:
        was = self.incident
        try:
            self.after(act(was))
        except InvalidTransitionError:
            assert self.incident is was

    @rule(seconds=st.integers(0, 600))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(severity=severities, age=st.integers(0, 600))
    def fires_again(self, severity: Severity, age: int) -> None:
        alert = new_alert(
            source="s",
            title="t",
            severity=severity,
            received_at=self.now,
            starts_at=self.now - timedelta(seconds=age),
        )
        was = self.incident
        self.try_to(lambda incident: merge_alert(incident, alert))
        if was.status.is_open:
            self.firing += 1
            assert not was.severity.worse_than(self.incident.severity)
            if self.severity_by_hand is not None:
                assert self.incident.severity is self.severity_by_hand
            assert (self.incident.assignee, self.incident.status) == (was.assignee, was.status)

    @rule(age=st.integers(0, 600))
    def source_resolves(self, age: int) -> None:
        ended = self.now - timedelta(seconds=age)
        alert = new_alert(source="s", title="t", status=AlertStatus.RESOLVED, received_at=self.now, ends_at=ended)
        was = self.incident
        self.try_to(lambda incident: merge_alert(incident, alert))
        if was.status.is_open:
            assert self.incident.status.is_open == (ended < was.starts_at)

    @rule(by=people)
    def person_acknowledges(self, by: str) -> None:
        self.try_to(lambda incident: acknowledge(incident, by, self.now))

    @rule(by=people, to=st.sampled_from(Status))
    def person_moves_on(self, by: str, to: Status) -> None:
        self.try_to(lambda incident: transition(incident, to, by, self.now))

    @rule(by=people, severity=st.none() | severities, assignee=st.sampled_from([None, "", "ada"]))
    def person_edits(self, by: str, severity: Severity | None, assignee: str | None) -> None:
        self.try_to(lambda incident: edit(incident, Edit(severity=severity, assignee=assignee), by, self.now))
        if severity is not None:
            self.severity_by_hand = severity

    @invariant()
    def resolution_is_there_exactly_when_it_ended(self) -> None:
        assert (self.incident.resolved_at is None) == self.incident.status.is_open
        resolved = [entry for entry in self.entries if entry.kind is TimelineKind.RESOLVED]
        assert len(resolved) == (0 if self.incident.status.is_open else 1)

    @invariant()
    def counts_agree(self) -> None:
        assert self.incident.alert_count == self.firing
        assert self.incident.first_seen == START
        assert self.incident.last_seen <= self.now


TestLife = Life.TestCase
