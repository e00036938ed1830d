"""The circuit breakers: recloser's dashboard, for those whom the service lets in."""

from __future__ import annotations

from contextvars import ContextVar

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from incident_manager.access.audit_trail import AuditTrail
from incident_manager.access.caller import Caller
from incident_manager.access.roles import Role
from incident_manager.api.request_id import current_request_id
from incident_manager.store.audit import AuditEntry
from incident_manager.web.visit import visit_of
from recloser import Registry
from recloser.dashboard import AuditRecord, Dashboard, dashboard

TITLE = "Circuit breakers of the Incident Manager"

# Never reset: every request is a task of its own.
_caller: ContextVar[Caller] = ContextVar("caller at the dashboard")


def breakers_dashboard(registry: Registry, trail: AuditTrail) -> Dashboard:
    """Return the dashboard of the service's breakers; to be closed at the end.

    Args:
        registry: The breakers.
        trail: Takes an entry for each thing an operator does.
    """

    async def audit(record: AuditRecord) -> None:
        await trail.add(_entry(record, _caller.get()))

    return dashboard(registry, authorize=_operator, audit=audit, title=TITLE, home="/")


async def show_breakers(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application: the dashboard, for those who may read; those with the role `admin` may operate."""
    visit = visit_of(Request(scope, receive))
    visit.services.access.require(visit.caller, Role.READ)
    _caller.set(visit.caller)
    await visit.services.dashboard(scope, receive, send)


def _operator(scope: Scope) -> str | None:
    caller = _caller.get()
    return caller.name if Role.ADMIN in caller.roles else None


def _entry(record: AuditRecord, caller: Caller) -> AuditEntry:
    return AuditEntry(
        at=record.time,
        token_id=caller.token_id,
        actor=caller.name,
        address=caller.address,
        action=f"circuit_breaker.{record.operation}",
        target=record.breaker,
        changes={"reason": {"from": None, "to": record.reason}},
        request_id=current_request_id(),
    )
