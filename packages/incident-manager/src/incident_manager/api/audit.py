"""The audit log: every change that somebody asked for."""

from typing import Annotated

from fastapi import APIRouter, Query

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import AuditOut, AuditPage
from incident_manager.api.services import Current
from incident_manager.domain.errors import InvalidCursorError
from incident_manager.store.audit import newest_audit

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=StrictRoute, dependencies=[requires(Role.ADMIN)])

_CURSOR = "before-"


@router.get("", responses=errors(422, 503))
async def list_audit(
    services: Current,
    limit: Annotated[int, Query(ge=1, le=200, description="Entries in one page.")] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> AuditPage:
    """Who changed what, newest first. Alerts are not in it: what they do to an incident is in its timeline."""
    before = None if cursor is None else _read(cursor)
    found = await services.store.read(lambda unit: newest_audit(unit, limit + 1, before))
    page = [AuditOut.model_validate(entry) for entry in found[:limit]]
    return AuditPage(entries=page, next_cursor=f"{_CURSOR}{page[-1].sequence}" if len(found) > limit else None)


def _read(cursor: str) -> int:
    digits = cursor.removeprefix(_CURSOR)
    if not cursor.startswith(_CURSOR) or not digits.isascii() or not digits.isdecimal() or len(digits) > 18:
        raise InvalidCursorError(cursor)
    return int(digits)
