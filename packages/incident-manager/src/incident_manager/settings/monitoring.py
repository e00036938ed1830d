"""How the service watches itself."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from incident_manager.domain.severity import Severity
from incident_manager.settings.section import Seconds, Section


def _severity(value: Any) -> Any:
    return Severity.parse(value) if isinstance(value, str) else value


class SelfMonitoringSettings(Section):
    """When an open circuit becomes an incident."""

    enabled: bool = True
    """Whether it does at all."""
    open_longer_than: Seconds = 300.0
    """Seconds that a circuit may be open before it is one."""
    severity: Annotated[Severity, BeforeValidator(_severity)] = Severity.P2
    """Of such incidents."""
