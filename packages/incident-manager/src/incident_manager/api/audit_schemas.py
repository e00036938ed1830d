"""The audit, as the API shows it."""

from datetime import datetime
from typing import Any

from pydantic import (
    Field,
)

from incident_manager.api.schemas import Model


class AuditOut(Model):
    """One change: who made it, when, and of what."""

    sequence: int
    at: datetime
    token_id: str | None = Field(description="The token that was shown; null without one.")
    actor: str
    address: str
    action: str
    target: str
    changes: dict[str, Any] = Field(description="`from` and `to` of each part that changed.")
    request_id: str | None


class AuditPage(Model):
    """One page of the audit log, newest first."""

    entries: list[AuditOut]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


# Health
