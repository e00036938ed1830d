"""What the pipeline asks about destinations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from incident_manager.domain.incident import Incident


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody who is told later, unless the incident was acknowledged or has ended by then.

    Attributes:
        after: Seconds after the beginning.
        destination: Who is told.
    """

    after: float
    destination: str


class Router(Protocol):
    """Decides who is told of an incident. Pure: the same incident gives the same answer."""

    def destinations_for(self, incident: Incident) -> list[str]:
        """Return the names of the destinations, each once."""
        ...

    def escalation_for(self, incident: Incident) -> Sequence[Step]:
        """Return who is told later, in the order of time."""
        ...
