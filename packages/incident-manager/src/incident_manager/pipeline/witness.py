"""Who watches a change of an incident from within its transaction."""

from __future__ import annotations

from incident_manager.domain.incident import Incident
from incident_manager.store.repository import UnitOfWork


class Witness:
    """Sees a change before and after it is made; what it writes is stored with the change, or not at all.

    This one does nothing. Whatever its methods raise undoes the change.
    """

    async def before(self, unit: UnitOfWork) -> None:
        """See that a change is about to be made."""

    def approve(self, incident: Incident) -> None:
        """See the incident that is about to be changed."""

    async def after(self, unit: UnitOfWork, before: Incident | None, after: Incident) -> None:
        """See what became of an incident; `before` is None for a new one, and `after` itself if nothing changed."""
