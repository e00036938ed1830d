"""A Governance: personal data in an incident is a violation of GDPR, if that is asked for."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route


async def _check(request: Request) -> JSONResponse:
    body = await request.json()
    violations = ["GDPR: personal data"] if "GDPR" in body["frameworks"] and body["data"]["personal_data"] else []
    answer = {
        "request_id": body["id"],
        "incident_id": body["incident_id"],
        "is_compliant": not violations,
        "violations": violations,
        "recommendations": ["tell the authority"] if violations else [],
        "audit_entry_id": str(uuid.uuid4()),
        "checked_at": datetime.now(UTC).isoformat(),
    }
    return JSONResponse(answer)


async def _report(request: Request) -> JSONResponse:
    body = await request.json()
    return JSONResponse({"incident_id": request.path_params["incident_id"], "report_type": body["report_type"]})


async def _health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "healthy"})


ROUTES: list[BaseRoute] = [
    Route("/api/v1/compliance/check", _check, methods=["POST"]),
    Route("/api/v1/audit/report/{incident_id}", _report, methods=["POST"]),
    Route("/health", _health),
]
