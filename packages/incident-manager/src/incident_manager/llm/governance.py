"""Governance: is what happened in line with the frameworks that apply, and what follows from it?"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from incident_manager.llm.connection import Connection

NAME = "governance"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConcerned:
    """What kinds of data an incident concerns."""

    classification: str = "internal"
    personal_data: bool = False
    health_data: bool = False
    payment_data: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


class ComplianceCheck(BaseModel):
    """What Governance says of an incident."""

    request_id: str
    incident_id: str
    is_compliant: bool
    violations: list[Any]
    recommendations: list[Any]
    audit_entry_id: str


class AuditReport(BaseModel):
    """A report, as Governance gives it; its members depend on the type asked for."""

    model_config = {"extra": "allow"}


class Governance:
    """Checks compliance. Every method raises `LlmServiceError`, or `recloser.CircuitOpenError`."""

    def __init__(self, connection: Connection, frameworks: Sequence[str]) -> None:
        self.breaker = connection.breaker
        self._connection = connection
        self._frameworks = list(frameworks)

    async def check(self, incident_id: str, data: DataConcerned, at: datetime) -> ComplianceCheck:
        """Check an incident against the frameworks of the settings."""
        body = {
            "id": str(uuid.uuid4()),
            "incident_id": incident_id,
            "frameworks": self._frameworks,
            "data": {
                "classification": data.classification,
                "personal_data": data.personal_data,
                "health_data": data.health_data,
                "payment_data": data.payment_data,
                "metadata": data.metadata,
            },
            "timestamp": at.isoformat(),
        }
        return await self._connection.post("/api/v1/compliance/check", body, ComplianceCheck)

    async def report(self, incident_id: str, report_type: str) -> AuditReport:
        """Have a report of an incident made."""
        path = f"/api/v1/audit/report/{quote(incident_id, safe='')}"
        return await self._connection.post(path, {"report_type": report_type}, AuditReport)

    async def health(self) -> None:
        """Return when it is well."""
        await self._connection.check("/health")

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()
