"""Whether the process lives, takes requests, and how what it depends on is doing.

An open circuit breaker never makes liveness or readiness fail: a restart would not mend the dependency, and
taking the service out of rotation would lose the alerts that it can still store.
"""

import importlib.metadata

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from incident_manager.access.roles import Role
from incident_manager.api.authentication import open_to_all, requires
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import Alive, CircuitBreakersHealth, Health, JournalHealth, Ready
from incident_manager.api.services import Current

router = APIRouter(tags=["health"], route_class=StrictRoute)

VERSION = importlib.metadata.version("llm-incident-manager")


@router.get("/health", dependencies=[requires(Role.READ)])
async def health(services: Current) -> Health:
    """The state of the service and of what it depends on; 200 even when some of it fails."""
    condition = await services.condition.read()
    journal = condition.journal
    return Health(
        status="healthy" if condition.is_healthy else "degraded",
        version=VERSION,
        circuit_breakers=CircuitBreakersHealth.model_validate(condition.breakers),
        waiting_notifications=None if condition.backlog is None else dict(condition.backlog.waiting),
        journal=JournalHealth(
            waiting=journal.waiting,
            oldest_age=condition.journal_age,
            set_aside=journal.set_aside,
            bytes=journal.size,
        ),
        delivery_problems=dict(condition.delivery_problems),
        configuration_problems=dict(condition.configuration_problems),
    )


@router.get("/health/live", dependencies=[open_to_all()])
async def live() -> Alive:
    """The process answers. It asks nothing of anybody."""
    return Alive()


@router.get("/health/ready", dependencies=[open_to_all()])
async def ready(services: Current) -> Ready:
    """The service has started and takes requests; while the database is away, it takes alerts."""
    return Ready(database="open" if services.store.is_open else "starting")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=[requires(Role.READ)],
)
async def metrics(services: Current) -> Response:
    """Metrics in Prometheus' text format, prefix `llm_incident_manager_`."""
    services.collector.condition = await services.condition.read()
    return Response(generate_latest(services.metrics), media_type=CONTENT_TYPE_LATEST)
