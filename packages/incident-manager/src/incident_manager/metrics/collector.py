"""The service's own metrics, besides those of its circuit breakers.

Names follow https://prometheus.io/docs/practices/naming/. No label takes a value that a sender chooses: each value
is a series for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from incident_manager.domain.assessment import Job
from incident_manager.metrics.condition import Condition
from incident_manager.notify.dispatcher import Dispatcher
from incident_manager.notify.lane import Attempt
from incident_manager.pipeline.assess import AssessmentWorker, Settlement
from incident_manager.pipeline.correlate import Action
from incident_manager.pipeline.intake import AlertIntake
from incident_manager.store.backlog import Backlog, Owed
from recloser import Clock


class ServiceCollector(Collector):
    """Reads what the parts of the service have counted when it is scraped.

    Give it the condition of this moment as `condition` before each scrape; without one it has no gauges.

    Args:
        prefix: Of every metric's name.
        intake: Counts alerts.
        dispatcher: Its lanes count deliveries.
        assessment: Counts findings.
        clock: Time.
    """

    def __init__(
        self, prefix: str, intake: AlertIntake, dispatcher: Dispatcher, assessment: AssessmentWorker, clock: Clock
    ) -> None:
        self.condition: Condition | None = None
        self._prefix = prefix
        self._intake = intake
        self._lanes = dispatcher.lanes
        self._assessment = assessment
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        yield self._alerts()
        yield CounterMetricFamily(
            self._prefix + "alerts_refused",
            "Alerts that neither the database nor the journal could take.",
            self._intake.refused,
        )
        yield self._deliveries()
        yield self._assessments()
        if self.condition is not None:
            yield from self._gauges(self.condition)

    def _alerts(self) -> Metric:
        family = CounterMetricFamily(
            self._prefix + "alerts", "Alerts taken, by what became of them at once.", labels=["action"]
        )
        for action in Action:
            family.add_metric([action], self._intake.taken[action])
        return family

    def _deliveries(self) -> Metric:
        family = CounterMetricFamily(
            self._prefix + "deliveries", "Attempts to deliver, by how they ended.", labels=["destination", "outcome"]
        )
        for destination, lane in self._lanes.items():
            for attempt in Attempt:
                family.add_metric([destination, attempt], lane.attempts[attempt])
        return family

    def _assessments(self) -> Metric:
        # Prometheus itself has a label `job`.
        family = CounterMetricFamily(
            self._prefix + "assessments",
            "Findings about incidents, by whether the service answered or rules stood in for it.",
            labels=["assessment", "outcome"],
        )
        for job in Job:
            for settlement in Settlement if job in self._assessment.jobs else ():
                family.add_metric([job, settlement], self._assessment.settled[job, settlement])
        return family

    def _gauges(self, condition: Condition) -> Iterator[Metric]:
        journal = condition.journal
        for name, text, value in (
            ("healthy", "1 while nothing is wrong with anything the service depends on, else 0", condition.is_healthy),
            ("journal_entries", "Alerts that wait in the journal for the database", journal.waiting),
            ("journal_set_aside", "Alerts in the journal that the database refused", journal.set_aside),
            ("journal_bytes", "Bytes of the alerts in the journal", journal.size),
            ("journal_oldest_seconds", "Age of the first alert that waits in the journal", condition.journal_age),
        ):
            yield GaugeMetricFamily(self._prefix + name, text, value)
        problems = condition.delivery_problems
        yield self._by_destination(
            "delivery_problem",
            "1 while nobody works on the notifications of the destination, else 0",
            dict.fromkeys(problems, 1.0),
        )
        if condition.backlog is not None:
            yield from self._backlog(condition.backlog)

    def _backlog(self, backlog: Backlog) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._prefix + "open_incidents", "Incidents that are open", labels=["severity"])
        for severity, number in backlog.open_incidents.items():
            family.add_metric([severity], number)
        yield family
        now = self._clock.time()
        readings: tuple[tuple[str, str, Callable[[Owed], float]], ...] = (
            ("outbox_waiting", "Notifications that are owed to the destination", lambda owed: owed.waiting),
            ("outbox_ready", "Those that nothing but the destination keeps waiting", lambda owed: owed.ready),
            ("outbox_oldest_seconds", "Age of the first of these", lambda owed: _age(owed.oldest, now)),
        )
        for name, text, read in readings:
            yield self._by_destination(name, text, {to: read(owed) for to, owed in backlog.owed.items()})

    def _by_destination(self, name: str, text: str, values: dict[str, float]) -> Metric:
        """One that each destination of the settings has, at 0 if nothing is known of it, and others if there are."""
        family = GaugeMetricFamily(self._prefix + name, text, labels=["destination"])
        for destination, value in (dict.fromkeys(self._lanes, 0.0) | values).items():
            family.add_metric([destination], value)
        return family


def _age(since: datetime | None, now: float) -> float:
    return 0.0 if since is None else max(0.0, now - since.timestamp())
