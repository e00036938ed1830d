"""Incidents that belong together are linked, and people are told of one of them and of what is worse."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.alert import AlertStatus, new_alert
from incident_manager.domain.delivery import GROUP, Delivery, DeliveryStatus, NotificationEvent
from incident_manager.domain.grouping import Group, GroupingRule, GroupingRules, GroupNotify, Page, to_be_sent
from incident_manager.domain.lifecycle import Edit
from incident_manager.domain.severity import Severity, max_severity
from incident_manager.domain.silence import new_silence
from incident_manager.domain.timeline import TimelineKind
from incident_manager.pipeline import silencing
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.announce import UNTIL_GROUPED
from incident_manager.pipeline.grouping_worker import LEASE, GroupingWorker
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.router import Step
from incident_manager.store import groups
from incident_manager.store.database import Store
from incident_manager.store.groups import GroupQueue
from incident_manager.store.paging import IncidentFilter
from recloser.testing import FakeClock

from .conftest import Bell, Routes

TRIGGERED, RESOLVED = NotificationEvent.TRIGGERED, NotificationEvent.RESOLVED
RULE = GroupingRule(name="cluster", labels=("cluster",), window=300.0, max_size=4)


@dataclass
class Desk:
    """Alerts, and what becomes of them."""

    store: Store
    clock: FakeClock
    rules: GroupingRules
    pipeline: AlertPipeline
    actions: IncidentActions
    worker: GroupingWorker
    bell: Bell

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)

    async def report(
        self, host: str, severity: Severity = Severity.P1, status: AlertStatus = AlertStatus.FIRING, **labels: str
    ) -> str:
        """Take an alert without looking for its group."""
        alert = new_alert(
            source="test",
            title=f"{host} is down",
            severity=severity,
            labels={"cluster": "eu1", "host": host, **labels},
            dedup_key=host,
            status=status,
            received_at=self.now(),
        )
        [accepted] = await self.pipeline.accept([alert])
        return accepted.incident_id or ""

    async def group(self) -> None:
        """Do all that is due."""
        while await self.worker.step() == 0.0:
            pass

    async def open(self, host: str, severity: Severity = Severity.P1, **labels: str) -> str:
        incident_id = await self.report(host, severity, **labels)
        await self.group()
        self.clock.advance(1)
        return incident_id

    async def end(self, host: str) -> None:
        await self.report(host, status=AlertStatus.RESOLVED)
        await self.group()

    async def silence(self, host: str, seconds: float = 3600) -> None:
        """Begin a silence of the incidents of a host."""
        at = self.now()
        silence = new_silence(
            matchers={"host": host},
            starts_at=at,
            ends_at=at + timedelta(seconds=seconds),
            reason="works",
            by="ana",
            at=at,
        )
        await self.store.run(lambda unit: silencing.begin(unit, silence, at))

    async def group_of(self, incident_id: str) -> Group | None:
        return (await self.store.read(lambda unit: groups.of_incidents(unit, [incident_id]))).get(incident_id)

    async def sent(self, destination: str = "slack") -> Sequence[tuple[str, NotificationEvent]]:
        """Deliver all that is due."""
        outbox, sent = self.store.outbox, []
        while claimed := await outbox.claim(destination=destination, worker="w", now=self.now(), lease=60, limit=10):
            for delivery in claimed:
                await outbox.mark_delivered(delivery.id, "w", self.now())
                sent.append((delivery.incident_id, delivery.event))
        return sent

    async def deliveries(self, incident_id: str) -> Sequence[Delivery]:
        return await self.store.read(lambda unit: unit.deliveries(incident_id))

    async def timeline(self, incident_id: str) -> list[TimelineKind]:
        return [entry.kind for entry in await self.store.read(lambda unit: unit.timeline(incident_id))]


BOTH = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """SQLite where the kind of database makes no difference."""
    kind = getattr(request, "param", "sqlite")
    return str(request.getfixturevalue(f"{kind.replace('postgresql', 'postgres')}_url"))


@pytest.fixture
def rules() -> GroupingRules:
    return GroupingRules([RULE])


@pytest.fixture
async def desk(store: Store, routes: Routes, clock: FakeClock, bell: Bell, rules: GroupingRules) -> AsyncIterator[Desk]:
    plan = AssessmentPlan().with_grouping(rules)
    worker = GroupingWorker(store, plan, clock, on_released=bell.ring)
    yield Desk(
        store=store,
        clock=clock,
        rules=rules,
        pipeline=AlertPipeline(store, routes, clock, plan=plan),
        actions=IncidentActions(store, routes, clock, bell.ring, plan=plan),
        worker=worker,
        bell=bell,
    )
    await worker.stop()


@BOTH
async def test_incidents_with_equal_labels_share_a_group(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    group = await desk.group_of(first)
    assert group is not None
    assert group == await desk.group_of(second)
    assert (group.rule, group.labels, group.size) == ("cluster", {"cluster": "eu1"}, 2)


async def test_incidents_with_other_labels_or_without_them_do_not(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b", cluster="us1")
    third = await desk.open("c", cluster="")
    assert (await desk.group_of(first)) != (await desk.group_of(second))
    assert await desk.group_of(third) is None


async def test_an_incident_after_the_window_begins_another_group(desk: Desk) -> None:
    first = await desk.open("a")
    desk.clock.advance(RULE.window)
    second = await desk.open("b")
    assert (await desk.group_of(first)) != (await desk.group_of(second))


async def test_a_full_group_is_followed_by_another_one(desk: Desk) -> None:
    found = [await desk.group_of(await desk.open(str(number))) for number in range(RULE.max_size + 2)]
    assert [group.id if group else None for group in found[:4]] == [found[0].id if found[0] else None] * 4
    assert found[4] != found[0]
    assert found[5] is not None
    assert found[5].size == 2


async def test_only_incidents_that_match_are_grouped(desk: Desk) -> None:
    desk.rules.replace([GroupingRule(name="db", labels=("cluster",), matchers={"team": "db*"})])
    assert await desk.group_of(await desk.open("a", team="web")) is None
    assert await desk.group_of(await desk.open("b", team="db-core")) is not None


async def test_incidents_reported_by_people_are_grouped(desk: Desk) -> None:
    first = await desk.open("a")
    reported = await desk.actions.create(title="Slow", severity=Severity.P2, by="ana", labels={"cluster": "eu1"})
    await desk.group()
    assert await desk.group_of(reported.id) == await desk.group_of(first)


async def test_who_knows_of_the_first_is_not_told_of_another_that_is_as_severe(desk: Desk) -> None:
    first = await desk.open("a")
    second = await desk.open("b")
    assert await desk.sent() == [(first, TRIGGERED)]
    [held] = await desk.deliveries(second)
    assert (held.status, held.held_by) == (DeliveryStatus.PENDING, GROUP)
    desk.clock.advance(24 * 3600)
    assert await desk.sent() == []


async def test_timeline_tells_of_the_group_and_of_what_is_not_sent(desk: Desk) -> None:
    await desk.open("a")
    second = await desk.open("b")
    entries = await desk.store.read(lambda unit: unit.timeline(second))
    assert [entry.kind for entry in entries] == [
        TimelineKind.OPENED,
        TimelineKind.GROUPED,
        TimelineKind.NOTIFICATION_HELD,
    ]
    assert "cluster=eu1" in entries[1].message
    assert entries[2].data["destinations"] == ["slack"]


async def test_a_worse_incident_is_told(desk: Desk) -> None:
    first = await desk.open("a", Severity.P2)
    worse = await desk.open("b", Severity.P1)
    assert await desk.sent() == [(first, TRIGGERED), (worse, TRIGGERED)]


async def test_a_destination_that_knows_of_none_is_told(desk: Desk, routes: Routes) -> None:
    await desk.open("a")
    routes.all = ["slack", "mail"]
    second = await desk.open("b")
    assert await desk.sent("mail") == [(second, TRIGGERED)]


@BOTH
async def test_the_second_is_told_when_the_first_ends_and_it_burns_still(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    assert await desk.sent() == [(first, TRIGGERED)]
    rung = desk.bell.rung
    await desk.end("a")
    assert await desk.sent() == [(second, TRIGGERED), (first, RESOLVED)]
    assert TimelineKind.NOTIFICATION_RELEASED in await desk.timeline(second)
    assert desk.bell.rung > rung


async def test_of_several_that_burn_still_the_worst_is_told(desk: Desk) -> None:
    await desk.open("a", Severity.P1)
    await desk.open("b", Severity.P3)
    worst = await desk.open("c", Severity.P2)
    await desk.sent()
    await desk.end("a")
    assert [told for told in await desk.sent() if told[1] is TRIGGERED] == [(worst, TRIGGERED)]


async def test_a_silenced_incident_is_not_the_one_that_is_told_instead_of_another(desk: Desk) -> None:
    await desk.silence("b")
    await desk.open("a")
    silenced, third = await desk.open("b"), await desk.open("c")
    await desk.sent()
    await desk.end("a")
    assert [told for told in await desk.sent() if told[1] is TRIGGERED] == [(third, TRIGGERED)]
    assert [delivery.held_by for delivery in await desk.deliveries(silenced)] == [GROUP]


async def test_silenced_incidents_are_told_each_when_its_silence_ends(desk: Desk) -> None:
    await desk.silence("b", seconds=2000)
    await desk.silence("c", seconds=1000)
    await desk.open("a")
    longer, shorter = await desk.open("b"), await desk.open("c")
    await desk.end("a")
    await desk.sent()
    desk.clock.advance(1000)
    assert await desk.sent() == [(shorter, TRIGGERED)]
    desk.clock.advance(1000)
    assert await desk.sent() == [(longer, TRIGGERED)]


async def test_an_incident_that_nobody_was_told_of_ends_in_silence(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    await desk.end("b")
    await desk.end("a")
    assert await desk.sent() == [(first, TRIGGERED), (first, RESOLVED)]
    assert [delivery.status for delivery in await desk.deliveries(second)] == [DeliveryStatus.CANCELLED]


async def test_the_second_is_told_when_a_person_resolves_the_first(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    await desk.sent()
    await desk.actions.resolve(first, by="ana")
    await desk.group()
    assert (second, TRIGGERED) in await desk.sent()


@BOTH
async def test_people_are_told_when_a_member_gets_worse_than_what_they_know_of(desk: Desk) -> None:
    await desk.open("a", Severity.P2)
    second = await desk.open("b", Severity.P3)
    await desk.sent()
    await desk.open("b", Severity.P2)
    assert await desk.sent() == []
    await desk.open("b", Severity.P1)
    assert await desk.sent() == [(second, TRIGGERED)]


@BOTH
async def test_the_second_is_told_when_a_silence_begins_before_the_first_is(desk: Desk) -> None:
    await desk.open("a")
    second = await desk.open("b")
    await desk.silence("a")
    await desk.group()
    assert await desk.sent() == [(second, TRIGGERED)]


async def test_the_second_is_told_when_a_person_finds_the_first_less_severe(desk: Desk) -> None:
    first, second = await desk.open("a", Severity.P1), await desk.open("b", Severity.P2)
    assert await desk.sent() == [(first, TRIGGERED)]
    rung = desk.bell.rung
    await desk.actions.patch(first, Edit(severity=Severity.P3), by="ana")
    assert desk.bell.rung > rung
    await desk.group()
    assert await desk.sent() == [(second, TRIGGERED)]


async def test_nobody_waits_for_a_notification_that_cannot_be_delivered(desk: Desk) -> None:
    await desk.open("a")
    second = await desk.open("b")
    outbox, now = desk.store.outbox, desk.now()
    [claimed] = await outbox.claim(destination="slack", worker="w", now=now, lease=60, limit=10)
    await outbox.mark_failed(claimed.id, "w", now, "no such channel")
    await desk.group()
    assert await desk.sent() == [(second, TRIGGERED)]


async def test_acknowledging_an_incident_nobody_was_told_of_needs_no_page_any_more(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    await desk.actions.acknowledge(second, by="ana")
    await desk.end("a")
    assert await desk.sent() == [(first, TRIGGERED), (first, RESOLVED)]


@BOTH
async def test_escalation_of_a_spared_incident_begins_when_it_is_told(desk: Desk, routes: Routes) -> None:
    routes.later = [Step(600.0, "boss")]
    first, second = await desk.open("a"), await desk.open("b")
    desk.clock.advance(600)
    assert await desk.sent("boss") == [(first, TRIGGERED)]
    await desk.end("a")
    desk.clock.advance(599)
    assert await desk.sent("boss") == [(first, RESOLVED)]
    desk.clock.advance(2)
    assert await desk.sent("boss") == [(second, TRIGGERED)]


async def test_notification_names_the_group(desk: Desk) -> None:
    await desk.open("a", Severity.P2)
    worse = await desk.open("b", Severity.P1)
    [delivery] = await desk.deliveries(worse)
    group = await desk.group_of(worse)
    assert group is not None
    assert delivery.payload["group"]["id"] == group.id
    assert delivery.payload["group"]["size"] == 2


async def test_with_notify_all_every_incident_is_told_at_once(desk: Desk) -> None:
    desk.rules.replace([GroupingRule(name="cluster", labels=("cluster",), notify=GroupNotify.ALL)])
    first, second = await desk.report("a"), await desk.report("b")
    assert await desk.sent() == [(first, TRIGGERED), (second, TRIGGERED)]


async def test_page_is_sent_when_nobody_can_decide_about_its_group(desk: Desk) -> None:
    first = await desk.report("a")
    assert await desk.sent() == []
    desk.clock.advance(UNTIL_GROUPED)
    assert await desk.sent() == [(first, TRIGGERED)]


async def test_what_a_rule_held_is_sent_when_the_rule_is_gone(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    third = await desk.report("c")
    desk.rules.replace([])
    await desk.end("a")
    told = await desk.sent()
    assert [(one, TRIGGERED) in told for one in (first, second, third)] == [True, True, True]


@BOTH
@pytest.mark.parametrize("others", [[], [replace(RULE, notify=GroupNotify.ALL)]], ids=["no rule", "notify all"])
async def test_what_a_rule_held_is_sent_when_other_rules_come(desk: Desk, others: list[GroupingRule]) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    assert await desk.sent() == [(first, TRIGGERED)]
    desk.rules.replace(others)
    desk.worker.rules_changed()
    rung = desk.bell.rung
    await desk.group()
    assert desk.bell.rung > rung
    assert await desk.sent() == [(second, TRIGGERED)]


async def test_what_a_rule_held_is_sent_after_a_restart_without_it(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    assert await desk.sent() == [(first, TRIGGERED)]
    await desk.worker.stop()
    desk.worker = GroupingWorker(desk.store, AssessmentPlan(), desk.clock, on_released=desk.bell.ring)
    await desk.group()
    assert await desk.sent() == [(second, TRIGGERED)]


@BOTH
async def test_another_worker_takes_over_when_the_lease_of_a_dead_one_ends(desk: Desk) -> None:
    first = await desk.report("a")
    await GroupQueue(desk.store).claim(worker="dead", now=desk.now(), lease=LEASE, limit=10)
    await desk.group()
    assert await desk.group_of(first) is None
    desk.clock.advance(LEASE)
    await desk.group()
    assert await desk.group_of(first) is not None


@BOTH
async def test_workers_at_the_same_time_make_one_group_and_one_page(
    desk: Desk, rules: GroupingRules, bell: Bell
) -> None:
    incidents = [await desk.report(str(number)) for number in range(4)]
    plan = AssessmentPlan().with_grouping(rules)
    others = [GroupingWorker(desk.store, plan, desk.clock, on_released=bell.ring) for _ in range(3)]
    await asyncio.gather(*(worker.step() for worker in [desk.worker, *others]))
    await desk.group()
    found = {group.id if (group := await desk.group_of(one)) else None for one in incidents}
    assert len(found) == 1
    assert None not in found
    assert len(await desk.sent()) == 1
    for worker in others:
        await worker.stop()


@BOTH
async def test_incidents_of_a_group_can_be_listed(desk: Desk) -> None:
    first, second = await desk.open("a"), await desk.open("b")
    await desk.open("c", cluster="us1")
    group = await desk.group_of(first)
    assert group is not None
    page = await desk.store.read(lambda unit: unit.list(IncidentFilter(group=group.id), 10))
    assert {incident.id for incident in page.incidents} == {first, second}


SEVERITIES = st.sampled_from(list(Severity))
DESTINATIONS = st.sampled_from(["a", "b"])


@given(st.lists(st.tuples(DESTINATIONS, SEVERITIES), max_size=8), st.dictionaries(DESTINATIONS, SEVERITIES))
def test_every_destination_is_told_of_what_is_worse_than_it_knows(
    waiting: list[tuple[str, Severity]], told: dict[str, Severity]
) -> None:
    pages = [Page(number, destination, severity) for number, (destination, severity) in enumerate(waiting)]
    sent = to_be_sent(pages, told)
    knows = dict(told)
    for page in pages:
        if page.sequence in sent:
            worst = knows.get(page.destination)
            knows[page.destination] = page.severity if worst is None else max_severity(worst, page.severity)
    for page in pages:
        assert page.destination in knows
        assert not page.severity.worse_than(knows[page.destination])
        if page.sequence in sent and page.destination in told:
            assert page.severity.worse_than(told[page.destination])
    assert len({page.destination for page in pages if page.sequence in sent}) == len(sent)
