"""Who is told about an incident: rules by severity, from the settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from incident_manager.domain.incident import Incident
from incident_manager.domain.severity import Severity


@dataclass(frozen=True)
class Route:
    """One rule.

    Args:
        severities: Incidents it is for; empty means every one.
        destinations: Names of the destinations that are told.
    """

    severities: frozenset[Severity]
    destinations: tuple[str, ...]

    def matches(self, incident: Incident) -> bool:
        """Whether the rule is for this incident."""
        return not self.severities or incident.severity in self.severities


class Router:
    """Applies every rule that matches; a destination named by several is told once.

    Args:
        routes: The rules, in the order of the settings.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)

    def destinations_for(self, incident: Incident) -> list[str]:
        """Destinations to tell, in the order of the rules, without repetition."""
        named = (name for route in self._routes if route.matches(incident) for name in route.destinations)
        return list(dict.fromkeys(named))
