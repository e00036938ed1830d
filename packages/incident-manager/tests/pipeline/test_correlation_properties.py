"""However alerts are cut into batches, the same incidents come of them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.delivery import NotificationEvent
from incident_manager.domain.incident import Incident
from incident_manager.domain.severity import Severity
from incident_manager.pipeline.announce import deliveries_for
from incident_manager.pipeline.correlate import Action, Correlation, News
from incident_manager.pipeline.order import order_of
from incident_manager.pipeline.router import Step

START = datetime(2026, 1, 1, tzinfo=UTC)


@st.composite
def alerts(draw: st.DrawFn) -> list[Alert]:
    """A series of alerts about three troubles, received in order; some of them late."""
    series = []
    for minute in range(draw(st.integers(1, 25))):
        received = START + timedelta(minutes=minute)
        status = draw(st.sampled_from(AlertStatus))
        moment = received - timedelta(minutes=draw(st.integers(0, 4)))
        series.append(
            new_alert(
                source="s",
                title="t",
                status=status,
                severity=draw(st.sampled_from(Severity)),
                dedup_key=draw(st.sampled_from("abc")),
                labels={"minute": str(minute)},
                received_at=received,
                starts_at=moment,
            )
        )
    return series


class Memory:
    """What a store would keep, without one."""

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.actions: list[Action] = []
        self.news: list[News] = []

    def take(self, batch: Iterable[Alert]) -> None:
        open_now = {one.fingerprint: one for one in self.incidents.values() if one.status.is_open}
        correlation = Correlation.starting_from(open_now)
        self.actions += [correlation.add(alert).action for alert in batch]
        for incident, stored_version in correlation.changed():
            assert self.incidents[incident.id].version == stored_version
            self.incidents[incident.id] = incident
        for incident in correlation.opened():
            assert incident.id not in self.incidents
            self.incidents[incident.id] = incident
        open_now = {one.id: one for one in self.incidents.values() if one.status.is_open}
        assert len({one.fingerprint for one in open_now.values()}) == len(open_now), "one open incident for each"
        self.news += correlation.news

    def plain(self) -> list[Incident]:
        """The incidents by when they began, without their random ids."""
        return sorted(
            (replace(one, id="") for one in self.incidents.values()), key=lambda one: (one.fingerprint, one.created_at)
        )


@given(series=alerts(), cuts=st.sets(st.integers(1, 24)))
def test_batches_make_no_difference(series: list[Alert], cuts: set[int]) -> None:
    one_by_one, in_batches = Memory(), Memory()
    for alert in series:
        one_by_one.take([alert])
    bounds = [0, *sorted(cut for cut in cuts if cut < len(series)), len(series)]
    for start, end in pairwise(bounds):
        in_batches.take(series[start:end])
    assert in_batches.plain() == one_by_one.plain()
    assert in_batches.actions == one_by_one.actions
    assert [item.event for item in in_batches.news] == [item.event for item in one_by_one.news]


@given(series=alerts())
def test_every_incident_is_announced_once_before_anything_else_of_it_and_its_end_last(series: list[Alert]) -> None:
    memory = Memory()
    memory.take(series)
    for incident in memory.incidents.values():
        events = [item.event for item in memory.news if item.incident.id == incident.id]
        assert events[0] is NotificationEvent.TRIGGERED
        assert events.count(NotificationEvent.TRIGGERED) == 1
        assert events.count(NotificationEvent.RESOLVED) == (0 if incident.status.is_open else 1)
        assert incident.status.is_open or events[-1] is NotificationEvent.RESOLVED


@given(series=alerts())
def test_counts_add_up(series: list[Alert]) -> None:
    memory = Memory()
    memory.take(series)
    firing = sum(alert.status is AlertStatus.FIRING for alert in series)
    assert sum(incident.alert_count for incident in memory.incidents.values()) == firing
    assert memory.actions.count(Action.OPENED) == len(memory.incidents)


class Routes:
    """Each severity has a destination of its own, and one has all."""

    def destinations_for(self, incident: Incident) -> list[str]:
        return ["all", incident.severity.value]

    def escalation_for(self, incident: Incident) -> list[Step]:
        return []


@given(series=alerts())
def test_every_destination_hears_of_the_beginning_first_and_of_the_end_if_there_is_one(series: list[Alert]) -> None:
    memory = Memory()
    memory.take(series)
    deliveries = deliveries_for(memory.news, {}, Routes(), START)
    for incident in memory.incidents.values():
        for destination in {one.destination for one in deliveries if one.incident_id == incident.id}:
            events = [
                one.event for one in deliveries if (one.incident_id, one.destination) == (incident.id, destination)
            ]
            assert events[0] is NotificationEvent.TRIGGERED
            assert events.count(NotificationEvent.TRIGGERED) == 1
            assert (events[-1] is NotificationEvent.RESOLVED) == (not incident.status.is_open)


@given(series=alerts())
def test_the_order_of_a_request_is_that_of_the_moments_and_keeps_the_rest(series: list[Alert]) -> None:
    order = order_of(series)
    assert sorted(order) == list(range(len(series)))
    for before, after in pairwise(order):
        assert (series[before].decided_at, before) < (series[after].decided_at, after)
