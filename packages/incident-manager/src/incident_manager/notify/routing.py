"""Who is told about an incident, and who is told later if nobody acknowledges it: rules from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

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
    """

    severities: frozenset[Severity]
    destinations: tuple[str, ...]
    sources: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    escalation: tuple[Step, ...] = ()

    def matches(self, incident: Incident) -> bool:
        """Whether the rule is for this incident."""
        return (
            (not self.severities or incident.severity in self.severities)
            and (not self.sources or any(fnmatchcase(incident.source, pattern) for pattern in self.sources))
            and all(fnmatchcase(incident.labels.get(name, ""), pattern) for name, pattern in self.labels.items())
        )


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

    def escalation_for(self, incident: Incident) -> list[Step]:
        """Who is told later, in the order of time."""
        steps = {step for route in self._routes if route.matches(incident) for step in route.escalation}
        return sorted(steps, key=lambda step: (step.after, step.destination))
