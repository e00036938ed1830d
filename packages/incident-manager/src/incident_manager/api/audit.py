"""The audit log: every change that somebody asked for."""

from typing import Annotated

from fastapi import APIRouter, Query

from incident_manager.access.roles import Role
from incident_manager.api.audit_schemas import AuditOut, AuditPage
from incident_manager.api.authentication import requires
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.sequence_cursor import cursor_before, sequence_of
from incident_manager.api.services import Current
from incident_manager.store.audit import newest_audit

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=StrictRoute, dependencies=[requires(Role.ADMIN)])


@router.get("", responses=errors(422, 503))
async def list_audit(
    services: Current,
    limit: Annotated[int, Query(ge=1, le=200, description="Entries in one page.")] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> AuditPage:
    """Who changed what, newest first. Alerts are not in it: what they do to an incident is in its timeline."""
    before = sequence_of(cursor)
    found = await services.store.read(lambda unit: newest_audit(unit, limit + 1, before))
    page = [AuditOut.model_validate(entry) for entry in found[:limit]]
    return AuditPage(entries=page, next_cursor=cursor_before(page[-1].sequence) if len(found) > limit else None)
