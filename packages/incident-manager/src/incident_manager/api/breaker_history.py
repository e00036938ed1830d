"""What the circuit breakers went through: key figures of a window, and every change of state."""

from typing import Annotated

from fastapi import APIRouter, Query

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.breaker_history_schemas import (
    CircuitBreakersKpis,
    TransitionOut,
    TransitionPage,
)
from incident_manager.api.errors import ApiError
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.sequence_cursor import cursor_before, sequence_of
from incident_manager.api.services import Current
from incident_manager.history.summary import summarise
from incident_manager.history.window import parse_window
from incident_manager.store.breaker_history import newest_transitions

router = APIRouter(
    prefix="/v1/circuit-breakers",
    tags=["circuit breakers"],
    route_class=StrictRoute,
    dependencies=[requires(Role.READ)],
)


@router.get("/kpis", responses=errors(422, 503))
async def get_kpis(
    services: Current,
    window: Annotated[
        str,
        Query(
            description="How far to look back: a number with `s`, `m`, `h`, `d` or `w`, an ISO 8601 duration, or "
            "seconds; 1 minute to 90 days.",
            examples=["1h", "24h", "7d", "PT90M"],
            max_length=40,
        ),
    ] = "24h",
) -> CircuitBreakersKpis:
    """Key figures of all circuit breakers in the last hours or days, over all processes and restarts of the service."""
    try:
        seconds = parse_window(window)
    except ValueError as error:
        raise ApiError(422, "invalid_request", f"window {error}", field="window") from None
    names = [breaker.name for breaker in services.registry]
    unwritten = services.history.unwritten()
    return CircuitBreakersKpis.of(await summarise(services.store, names, seconds, services.now(), unwritten))


@router.get("/{name}/transitions", responses=errors(404, 422, 503))
async def list_transitions(
    name: str,
    services: Current,
    limit: Annotated[int, Query(ge=1, le=200, description="Changes in one page.")] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> TransitionPage:
    """Every change of state of one circuit breaker, newest first. A change shows within seconds."""
    before = sequence_of(cursor)
    found = (
        []
        if "\0" in name
        else await services.store.read(lambda unit: newest_transitions(unit, name, limit + 1, before))
    )
    if not found and before is None and name not in services.registry:
        raise ApiError(404, "circuit_breaker_not_found", f"no circuit breaker is or was called {name[:80]!r}")
    page = [TransitionOut.model_validate(one) for one in found[:limit]]
    more = len(found) > limit
    return TransitionPage(transitions=page, next_cursor=cursor_before(found[limit - 1].sequence) if more else None)
