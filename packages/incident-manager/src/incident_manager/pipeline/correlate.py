"""Second step: which incident each alert belongs to, and what it changes there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from incident_manager.domain.alert import Alert, AlertStatus
from incident_manager.domain.catalog import Catalog
from incident_manager.domain.delivery import NotificationEvent
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import Ending, classify, count_late, merge_alert, open_from_alert, resolve
from incident_manager.domain.timeline import TimelineEntry

CATALOG = "catalog"
"""Who raises a severity because of the tier of a service."""


class Action(StrEnum):
    """What became of an alert."""

    OPENED = "opened"
    UPDATED = "updated"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    IGNORED = "ignored"
    JOURNALED = "journaled"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The outcome for one alert; `incident_id` is None when it belongs to no incident."""

    alert_id: str
    incident_id: str | None
    action: Action


@dataclass(frozen=True, slots=True)
class News:
    """Something people may have to be told, with the incident as it was at that moment."""

    event: NotificationEvent
    incident: Incident


@dataclass(slots=True)
class Draft:
    """An incident on its way to be stored; `stored` is what the store has, None for a new one."""

    stored: Incident | None
    incident: Incident


@dataclass(slots=True)
class Correlation:
    """What a series of alerts changes, one `add` after the other, starting from the open incidents.

    Several alerts about one incident become one change of it, whatever their number.
    """

    drafts: list[Draft] = field(default_factory=list)
    received: list[tuple[Alert, str | None]] = field(default_factory=list)
    entries: list[TimelineEntry] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    _open: dict[str, Draft] = field(default_factory=dict)
    _known: dict[str, str | None] = field(default_factory=dict)
    _catalog: Catalog = field(default_factory=Catalog)
    _ended: list[tuple[Ending, Draft | None]] = field(default_factory=list)

    @classmethod
    def starting_from(
        cls,
        open_incidents: Mapping[str, Incident],
        known: Mapping[str, str | None] | None = None,
        endings: Iterable[Ending] = (),
        catalog: Catalog | None = None,
    ) -> Correlation:
        """Begin with what the store has.

        Args:
            open_incidents: By fingerprint.
            known: The incidents of alerts that were taken before, by the alert's id.
            endings: What ended after alerts were received that are taken into account only now.
            catalog: How bad incidents are at least, because of the services they are about.
        """
        ended: dict[str, Draft] = {}
        pairs: list[tuple[Ending, Draft | None]] = []
        for ending in sorted(endings, key=lambda ending: ending.received_at):
            incident = ending.incident
            draft = None if incident is None else ended.setdefault(incident.id, Draft(incident, incident))
            pairs.append((ending, draft))
        drafts = {key: Draft(one, one) for key, one in open_incidents.items()}
        return cls(_open=drafts, _known=dict(known or {}), _ended=pairs, _catalog=catalog or Catalog())

    def add(self, alert: Alert) -> Accepted:
        """Take one alert into account; one that was taken already changes nothing."""
        if alert.id in self._known:
            return Accepted(alert.id, self._known[alert.id], Action.IGNORED)
        draft = self._open.get(alert.fingerprint)
        if draft is not None:
            accepted = self._merge(draft, alert)
        elif alert.status is AlertStatus.FIRING:
            accepted = self._count_late(alert) or self._open_new(alert)
        else:  # nothing to resolve or to acknowledge: kept as received, and nobody is told
            accepted = Accepted(alert.id, None, Action.IGNORED)
        self.received.append((alert, accepted.incident_id))
        self._known[alert.id] = accepted.incident_id
        return accepted

    def changed(self) -> Sequence[tuple[Incident, int]]:
        """Give the incidents to be updated, each with the version the store has."""
        return [(draft.incident, draft.stored.version) for draft in self.drafts if draft.stored is not None]

    def opened(self) -> Iterable[Incident]:
        """Give the incidents to be inserted, in an order that is the same for everybody.

        Two processes that open the same incidents then wait one for the other, and not each for the other.
        """
        new = [draft.incident for draft in self.drafts if draft.stored is None]
        return sorted(new, key=lambda incident: incident.fingerprint)

    def _open_new(self, alert: Alert) -> Accepted:
        incident, entries = open_from_alert(alert)
        least = self._catalog.least_severity(incident)
        if least is not None:
            incident, raised = classify(incident, least, CATALOG, alert.received_at)
            entries += raised
        draft = Draft(None, incident)
        self._open[alert.fingerprint] = draft
        self.drafts.append(draft)
        self.entries += entries
        self.news.append(News(NotificationEvent.TRIGGERED, incident))
        return Accepted(alert.id, incident.id, Action.OPENED)

    def _count_late(self, alert: Alert) -> Accepted | None:
        """Take a firing alert that was overtaken by the end of its trouble to the incident it was about."""
        for index, (ending, draft) in enumerate(self._ended):
            if ending.fingerprint != alert.fingerprint or not ending.is_after(alert):
                continue
            if draft is None:
                draft = self._open_and_end(alert, ending)
                self._ended[index] = (ending, draft)
                return Accepted(alert.id, draft.incident.id, Action.OPENED)
            if draft.incident is draft.stored:
                self.drafts.append(draft)
            draft.incident = count_late(draft.incident, alert)
            return Accepted(alert.id, draft.incident.id, Action.UPDATED)
        return None

    def _open_and_end(self, alert: Alert, ending: Ending) -> Draft:
        opened, entries = open_from_alert(alert)
        resolution = f"{alert.source} had reported it resolved before this alert could be stored"
        ended, more = resolve(opened, f"source:{alert.source}", ending.received_at, resolution)
        draft = Draft(None, ended)
        self.drafts.append(draft)
        self.entries += [*entries, *more]
        self.news += [News(NotificationEvent.TRIGGERED, opened), News(NotificationEvent.RESOLVED, ended)]
        return draft

    def _merge(self, draft: Draft, alert: Alert) -> Accepted:
        before = draft.incident
        after, entries = merge_alert(before, alert)
        if after is before:  # a resolved alert that came too late, or a second acknowledgement
            return Accepted(alert.id, before.id, Action.IGNORED)
        if draft.incident is draft.stored:
            self.drafts.append(draft)
        draft.incident = after
        self.entries += entries
        if not after.status.is_open:
            del self._open[alert.fingerprint]
            self.news.append(News(NotificationEvent.RESOLVED, after))
            return Accepted(alert.id, after.id, Action.RESOLVED)
        if alert.status is AlertStatus.ACKNOWLEDGED:
            self.news.append(News(NotificationEvent.ACKNOWLEDGED, after))
            return Accepted(alert.id, after.id, Action.ACKNOWLEDGED)
        if after.severity.worse_than(before.severity):
            self.news.append(News(NotificationEvent.ESCALATED, after))
        return Accepted(alert.id, after.id, Action.UPDATED)
