"""What the routers work with. Composed in `incident_manager.app`, and found on the application."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from incident_manager.access.audit_trail import AuditTrail
from incident_manager.access.control import AccessControl
from incident_manager.api.schemas import AcceptedAlert, AcceptedAlerts
from incident_manager.cache.reads import Reads
from incident_manager.domain.alert import Alert
from incident_manager.domain.catalog import Catalog
from incident_manager.history.recorder import BreakerRecorder
from incident_manager.metrics.collector import ServiceCollector
from incident_manager.metrics.condition import ConditionReader
from incident_manager.moments import now_of
from incident_manager.notify.dispatcher import Dispatcher
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.intake import AlertIntake
from incident_manager.reload import Reload
from incident_manager.settings import IngestSettings
from incident_manager.store.database import Store
from incident_manager.store.journal import Journal
from incident_manager.stream.hub import StreamHub
from recloser import Clock, Registry
from recloser.dashboard import Dashboard


@dataclass(frozen=True)
class Services:
    """The running service, as the routers see it."""

    clock: Clock
    registry: Registry
    metrics: CollectorRegistry
    collector: ServiceCollector
    condition: ConditionReader
    store: Store
    journal: Journal
    reads: Reads
    intake: AlertIntake
    dispatcher: Dispatcher
    actions: IncidentActions
    ingest: IngestSettings
    catalog: Catalog
    reload: Reload
    access: AccessControl
    audit: AuditTrail
    stream: StreamHub
    dashboard: Dashboard
    history: BreakerRecorder

    def now(self) -> datetime:
        """The time, in UTC."""
        return now_of(self.clock)

    async def take(self, alerts: Sequence[Alert]) -> AcceptedAlerts:
        """Take alerts, into the database or the journal; they are durable when this returns.

        Raises:
            JournalUnavailableError: None of them is accepted.
        """
        accepted = await self.intake.accept(list(alerts))
        return AcceptedAlerts(alerts=[AcceptedAlert.model_validate(item) for item in accepted])


async def current(request: Request) -> Services:
    """The services of the application that answers the request."""
    services: Services = request.app.state.services
    return services


Current = Annotated[Services, Depends(current)]
