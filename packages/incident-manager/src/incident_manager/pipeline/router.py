"""What the pipeline asks about destinations."""

from __future__ import annotations

from typing import Protocol

from incident_manager.domain.incident import Incident


class Router(Protocol):
    """Decides who is told of an incident. Pure: the same incident gives the same answer."""

    def destinations_for(self, incident: Incident) -> list[str]:
        """Return the names of the destinations, each once."""
        ...
