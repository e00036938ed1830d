"""Whether the process lives, takes requests, and how what it depends on is doing.

An open circuit breaker never makes liveness or readiness fail: a restart would not mend the dependency, and
taking the service out of rotation would lose the alerts that it can still store.
"""

import importlib.metadata
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from incident_manager.access.roles import Role
from incident_manager.api.authentication import open_to_all, requires
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import Alive, CircuitBreakersHealth, Health, JournalHealth, Ready
from incident_manager.api.services import Current, Services
from incident_manager.domain.errors import StoreUnavailableError

router = APIRouter(tags=["health"], route_class=StrictRoute)

VERSION = importlib.metadata.version("llm-incident-manager")


@router.get("/health", dependencies=[requires(Role.READ)])
async def health(services: Current) -> Health:
    """The state of the service and of what it depends on; 200 even when some of it fails."""
    breakers = CircuitBreakersHealth.model_validate(services.registry.health())
    waiting = await _waiting(services)
    problems = services.dispatcher.problems()
    journal = _journal(services)
    refused = services.reload.problems()
    stuck = problems or refused or journal.waiting + journal.set_aside
    healthy = breakers.healthy and waiting is not None and not stuck
    status: Literal["healthy", "degraded"] = "healthy" if healthy else "degraded"
    return Health(
        status=status,
        version=VERSION,
        circuit_breakers=breakers,
        waiting_notifications=waiting,
        journal=journal,
        delivery_problems=problems,
        configuration_problems=refused,
    )


def _journal(services: Services) -> JournalHealth:
    state = services.journal.state
    return JournalHealth(
        waiting=state.waiting,
        oldest_age=services.journal.oldest_age,
        set_aside=state.set_aside,
        bytes=state.size,
    )


async def _waiting(services: Services) -> dict[str, int] | None:
    try:
        return dict(await services.store.outbox.waiting())
    except StoreUnavailableError:
        return None


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
    return Response(generate_latest(services.metrics), media_type=CONTENT_TYPE_LATEST)
