"""How the service watches itself."""

from __future__ import annotations

from incident_manager.domain.severity import Severity
from incident_manager.ingest.fields import SeverityWord
from incident_manager.settings.section import Seconds, Section


class SelfMonitoringSettings(Section):
    """When an open circuit becomes an incident."""

    enabled: bool = True
    """Whether it does at all."""
    open_longer_than: Seconds = 300.0
    """Seconds that a circuit may be open before it is one."""
    severity: SeverityWord = Severity.P2
    """Of such incidents."""
