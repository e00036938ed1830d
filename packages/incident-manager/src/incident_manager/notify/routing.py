"""Who is told about an incident, and who is told later if nobody acknowledges it: rules from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from incident_manager.domain.catalog import Catalog, CatalogService
from incident_manager.domain.incident import Incident
from incident_manager.domain.severity import Severity
from incident_manager.pipeline.router import Step


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
    """

    def __init__(self, routes: Iterable[Route], catalog: Catalog | None = None) -> None:
        self.replace(routes)
        self._catalog = catalog or Catalog()

    def replace(self, routes: Iterable[Route]) -> None:
        """Go by other rules from now on."""
        self._routes = tuple(routes)

    def destinations_for(self, incident: Incident) -> list[str]:
        """Destinations to tell, in the order of the rules, without repetition."""
        named = (name for route in self._matching(incident) for name in route.destinations)
        return list(dict.fromkeys(named))

    def escalation_for(self, incident: Incident) -> list[Step]:
        """Who is told later, in the order of time."""
        steps = {step for route in self._matching(incident) for step in route.escalation}
        return sorted(steps, key=lambda step: (step.after, step.destination))

    def _matching(self, incident: Incident) -> list[Route]:
        service = self._catalog.service_of(incident)
        return [route for route in self._routes if route.matches(incident, service)]
