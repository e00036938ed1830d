"""The service's circuit breakers: seen and operated.

A breaker that is forced open or closed stays so until it is reset; it never drifts back by itself.
"""

from typing import Any

from fastapi import APIRouter, Request

from incident_manager.access.roles import Role
from incident_manager.api.authentication import caller_of, requires
from incident_manager.api.circuit_breaker_schemas import (
    CircuitBreakerList,
    CircuitBreakerOut,
    CircuitBreakersHealth,
    Order,
    Reset,
    ResetAll,
)
from incident_manager.api.errors import ApiError
from incident_manager.api.request_id import current_request_id
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.services import Current, Services
from incident_manager.store.audit import AuditEntry
from recloser import CircuitBreaker, Registry, Stats, UnknownBreakerError

router = APIRouter(prefix="/v1/circuit-breakers", tags=["circuit breakers"], route_class=StrictRoute)

READ = [requires(Role.READ)]
ADMIN = [requires(Role.ADMIN)]


def _shown(stats: Stats) -> CircuitBreakerOut:
    counts = {"successful": stats.successful, "failed": stats.failed, "rejected": stats.rejected}
    values: dict[str, Any] = {**stats.to_dict(), **counts}
    return CircuitBreakerOut.model_validate(values)


def _find(registry: Registry, name: str) -> CircuitBreaker:
    try:
        return registry[name]
    except UnknownBreakerError as error:
        raise ApiError(404, "circuit_breaker_not_found", str(error)) from None


@router.get("", dependencies=READ)
async def list_circuit_breakers(services: Current) -> CircuitBreakerList:
    """All circuit breakers of the service."""
    return CircuitBreakerList(circuit_breakers=[_shown(stats) for stats in services.registry.stats().values()])


@router.get("/health", dependencies=READ)
async def circuit_breakers_health(services: Current) -> CircuitBreakersHealth:
    """How many circuit breakers are in which state."""
    return CircuitBreakersHealth.model_validate(services.registry.health())


@router.post("/reset-all", responses=errors(400, 413, 415, 422), dependencies=ADMIN)
async def reset_all(request: Request, services: Current, body: Reset = Reset()) -> ResetAll:  # noqa: B008 - it is frozen
    """Give control of every circuit breaker back to it, closed and with an empty window."""
    names = services.registry.reset_all(body.reason)
    await _audit(request, services, "circuit_breaker.reset_all", "*", body.reason)
    return ResetAll(reset=names)


@router.get("/{name}", responses=errors(404), dependencies=READ)
async def get_circuit_breaker(name: str, services: Current) -> CircuitBreakerOut:
    """One circuit breaker as it is now."""
    return _shown(_find(services.registry, name).stats())


@router.post("/{name}/open", responses=errors(400, 404, 413, 415, 422), dependencies=ADMIN)
async def open_circuit_breaker(request: Request, name: str, order: Order, services: Current) -> CircuitBreakerOut:
    """Reject every call until the breaker is closed or reset by hand."""
    breaker = _find(services.registry, name)
    before = breaker.stats()
    breaker.force_open(order.reason)
    await _audit(request, services, "circuit_breaker.open", name, order.reason, before, breaker.stats())
    return _shown(breaker.stats())


@router.post("/{name}/close", responses=errors(400, 404, 413, 415, 422), dependencies=ADMIN)
async def close_circuit_breaker(request: Request, name: str, order: Order, services: Current) -> CircuitBreakerOut:
    """Let every call through, whatever fails, until the breaker is opened or reset by hand."""
    breaker = _find(services.registry, name)
    before = breaker.stats()
    breaker.force_closed(order.reason)
    await _audit(request, services, "circuit_breaker.close", name, order.reason, before, breaker.stats())
    return _shown(breaker.stats())


@router.post("/{name}/reset", responses=errors(400, 404, 413, 415, 422), dependencies=ADMIN)
async def reset_circuit_breaker(
    request: Request,
    name: str,
    services: Current,
    body: Reset = Reset(),  # noqa: B008 - it is frozen
) -> CircuitBreakerOut:
    """Give control back to the breaker, closed and with an empty window."""
    breaker = _find(services.registry, name)
    before = breaker.stats()
    breaker.reset(body.reason)
    await _audit(request, services, "circuit_breaker.reset", name, body.reason, before, breaker.stats())
    return _shown(breaker.stats())


async def _audit(
    request: Request,
    services: Services,
    action: str,
    target: str,
    reason: str,
    before: Stats | None = None,
    after: Stats | None = None,
) -> None:
    """Say who did it. The breaker has obeyed already, whether or not the database can be written."""
    caller = await caller_of(request)
    changes: dict[str, Any] = {"reason": {"from": None, "to": reason}}
    if before is not None and after is not None:
        for name in ("state", "control"):
            old, new = str(getattr(before, name)), str(getattr(after, name))
            if old != new:
                changes[name] = {"from": old, "to": new}
    await services.audit.add(
        AuditEntry(
            at=services.now(),
            token_id=caller.token_id,
            actor=caller.name,
            address=caller.address,
            action=action,
            target=target,
            changes=changes,
            request_id=current_request_id(),
        )
    )
