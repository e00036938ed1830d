"""The tables. `migrations/` brings a database to this schema; a test holds the two together."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from incident_manager.store.types import JsonObject, Sequence, UtcDateTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

IS_OPEN = text("status NOT IN ('resolved', 'closed')")
"""Condition of the index below. Queries must use this very text, or the database cannot use the index for them."""

IS_PENDING = text("status = 'pending'")
"""The same for the outbox."""

IS_RESOLVED = text("status = 'resolved'")
"""The same for alerts that say a trouble is over."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("severity", String(2), nullable=False),
    Column("severity_locked", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("source", Text, nullable=False),
    Column("labels", JsonObject, nullable=False),
    Column("annotations", JsonObject, nullable=False),
    Column("alert_count", Integer, nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Column("acknowledged_at", UtcDateTime),
    Column("acknowledged_by", Text),
    Column("assignee", Text),
    Column("resolved_at", UtcDateTime),
    Column("resolved_by", Text),
    Column("resolution", Text),
)

Index("ix_incidents_status_id", incidents.c.status, incidents.c.id)
Index(
    "uq_incidents_open_fingerprint",
    incidents.c.fingerprint,
    unique=True,
    sqlite_where=IS_OPEN,
    postgresql_where=IS_OPEN,
)

Index("ix_incidents_fingerprint", incidents.c.fingerprint)

alerts = Table(
    "alerts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("incident_id", String(40), ForeignKey("incidents.id")),
    Column("fingerprint", String(64), nullable=False),
    Column("source", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("severity", String(2), nullable=False),
    Column("labels", JsonObject, nullable=False),
    Column("annotations", JsonObject, nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("dedup_key", Text),
    Column("generator_url", Text),
)

Index("ix_alerts_incident_id_id", alerts.c.incident_id, alerts.c.id)

Index(
    "ix_alerts_resolved_fingerprint",
    alerts.c.fingerprint,
    sqlite_where=IS_RESOLVED,
    postgresql_where=IS_RESOLVED,
)

timeline = Table(
    "timeline",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("incident_id", String(40), ForeignKey("incidents.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JsonObject, nullable=False),
    sqlite_autoincrement=True,
)

Index("ix_timeline_incident_id_sequence", timeline.c.incident_id, timeline.c.sequence)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("incident_id", String(40), ForeignKey("incidents.id"), nullable=False),
    Column("destination", Text, nullable=False),
    Column("event", String(16), nullable=False),
    Column("payload", JsonObject, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    Column("last_error", Text),
    Column("lease_until", UtcDateTime),
    Column("leased_by", Text),
    # Without it SQLite would give the number of a deleted last row again, and order would be lost.
    sqlite_autoincrement=True,
)

Index("ix_outbox_incident_id_destination", outbox.c.incident_id, outbox.c.destination)
Index(
    "ix_outbox_pending_destination_sequence",
    outbox.c.destination,
    outbox.c.sequence,
    sqlite_where=IS_PENDING,
    postgresql_where=IS_PENDING,
)
