"""How the database is connected to, and what happens while it is away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from incident_manager.settings.section import Seconds, Section

DAY = 86400.0
"""Seconds."""


class DatabaseSettings(Section):
    """Connections to PostgreSQL, of each process. SQLite has none of these. Durations are seconds."""

    write_connections: Annotated[int, Field(ge=1, le=100)] = 4
    """Transactions that write, at once."""
    read_connections: Annotated[int, Field(ge=1, le=100)] = 4
    """Transactions that read, at once."""
    connect_timeout: Seconds = 3.0
    """To open a connection."""
    transaction_timeout: Seconds = 5.0
    """For a whole transaction; one that takes longer is cut off and counts as a failure of the database."""


class JournalSettings(Section):
    """Where alerts wait while the database cannot be used. Durations are seconds."""

    path: Path | None = None
    """The file; None for `journal.db` in `data_dir`."""
    max_alerts: Annotated[int, Field(ge=1)] = 100_000
    """Alerts that may wait; further ones are refused with 503."""
    max_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024 * 1024
    """Bytes of alerts that may wait."""
    patience: Seconds = 3.0
    """How long the database may take to store an alert before it goes into the journal instead."""


Days = Annotated[float, Field(ge=1, le=36500, allow_inf_nan=False)]


class RetentionSettings(Section):
    """How long what is over is kept, in days; null keeps it for ever."""

    incidents: Days | None = 90.0
    """Incidents after their end, with their alerts, timeline, notifications and findings."""
    audit: Days | None = 365.0
    """Entries of the audit log."""
    breakers: Days | None = 90.0
    """What the circuit breakers went through."""

    @property
    def incident_seconds(self) -> float | None:
        """`incidents` in seconds."""
        return None if self.incidents is None else self.incidents * DAY

    @property
    def audit_seconds(self) -> float | None:
        """`audit` in seconds."""
        return None if self.audit is None else self.audit * DAY

    @property
    def breaker_seconds(self) -> float | None:
        """`breakers` in seconds."""
        return None if self.breakers is None else self.breakers * DAY


class CacheSettings(Section):
    """A cache of what is read, at `cache_url`. Durations are seconds."""

    timeout: Annotated[float, Field(gt=0, le=5, allow_inf_nan=False)] = 0.1
    """How long the cache may take; so much slower is an answer while it hangs, until its circuit opens."""
    ttl: Annotated[float, Field(ge=0.001, le=300, allow_inf_nan=False)] = 5.0
    """How long an answer is good for. Any write makes it invalid before."""
    keep: Annotated[float, Field(ge=0.001, le=7 * 86400, allow_inf_nan=False)] = 3600.0
    """How long an answer is kept for the time when the database is away; it is marked as old then."""
