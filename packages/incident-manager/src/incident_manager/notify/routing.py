"""Who is told about an incident, and who is told later if nobody acknowledges it: rules from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from incident_manager.domain.catalog import Catalog, CatalogService
from incident_manager.domain.incident import Incident
from incident_manager.domain.oncall import Rotation
from incident_manager.domain.severity import Severity
from incident_manager.moments import now_of
from incident_manager.pipeline.router import Step
from recloser import Clock, SystemClock


@dataclass(frozen=True)
class Route:
    """One rule. It is for the incidents that meet every condition it has.

    Args:
        severities: Severities; empty means every one.
        destinations: Names of the destinations that are told.
        sources: Senders, with `*` for any text; empty means every one.
        labels: Values that labels must have, with `*` for any text.
        escalation: Who is told later, if the incident is still open and nobody has acknowledged it.
        owners: Owners of the service that the incident is about, with `*` for any text; empty means every incident.
        tiers: Tiers of that service; empty means every incident.
    """

    severities: frozenset[Severity]
    destinations: tuple[str, ...]
    sources: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    escalation: tuple[Step, ...] = ()
    owners: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()

    def matches(self, incident: Incident, service: CatalogService | None = None) -> bool:
        """Whether the rule is for this incident, about this service of the catalogue."""
        owner = "" if service is None else service.owner or ""
        tier = None if service is None else service.tier
        return (
            (not self.severities or incident.severity in self.severities)
            and (not self.sources or any(fnmatchcase(incident.source, pattern) for pattern in self.sources))
            and (not self.owners or any(owner and fnmatchcase(owner, pattern) for pattern in self.owners))
            and (not self.tiers or tier in self.tiers)
            and all(fnmatchcase(incident.labels.get(name, ""), pattern) for name, pattern in self.labels.items())
        )


class Router:
    """Applies every rule that matches; a destination named by several is told once.

    Args:
        routes: The rules, in the order of the settings.
        catalog: Which service an incident is about.
        rotations: Who takes turns on call. The name of a rotation stands for the destination of whoever is on call.
        clock: Time.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        catalog: Catalog | None = None,
        rotations: Mapping[str, Rotation] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.replace(routes, rotations or {})
        self._catalog = catalog or Catalog()
        self._clock = clock or SystemClock()

    def replace(self, routes: Iterable[Route], rotations: Mapping[str, Rotation]) -> None:
        """Go by other rules and rotations from now on."""
        self._routes, self._rotations = tuple(routes), dict(rotations)

    def destinations_for(self, incident: Incident) -> list[str]:
        """Destinations to tell, in the order of the rules, without repetition."""
        now = self._now()
        named = (self._on_call(name, now) for route in self._matching(incident) for name in route.destinations)
        return list(dict.fromkeys(named))

    def escalation_for(self, incident: Incident) -> list[Step]:
        """Who is told later, in the order of time: of a rotation whoever is on call then."""
        now = self._now()
        steps = {
            replace(step, destination=self._on_call(step.destination, max(now, _due(incident, step))))
            for route in self._matching(incident)
            for step in route.escalation
        }
        return sorted(steps, key=lambda step: (step.after, step.destination))

    def _on_call(self, name: str, at: datetime) -> str:
        """The destination that a name stands for at a moment."""
        rotation = self._rotations.get(name)
        return name if rotation is None else rotation.shift(at).person

    def _now(self) -> datetime:
        return now_of(self._clock)

    def _matching(self, incident: Incident) -> list[Route]:
        service = self._catalog.service_of(incident)
        return [route for route in self._routes if route.matches(incident, service)]


def _due(incident: Incident, step: Step) -> datetime:
    return incident.created_at + timedelta(seconds=step.after)
