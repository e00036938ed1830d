"""The tables. `migrations/` brings a database to this schema; a test holds the two together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    case,
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

IS_ENDED = text("status IN ('resolved', 'closed')")
"""The same for incidents that have ended."""

IS_PENDING = text("status = 'pending'")
"""The same for the outbox."""

IS_TO_BE_ASSESSED = text("is_pending")
"""The same for assessments."""

IS_TO_BE_GROUPED = text("is_pending")
"""The same for members of groups."""
IS_RESOLVED = text("status = 'resolved'")
"""The same for alerts that say a trouble is over."""

IS_FINE = text("NOT is_rolled_up")
"""The same for tallies that are not put together yet."""


def later(moment: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    """The later one of two moments; the first, if the other is null. (What `max` does with null differs.)"""
    return case((other > moment, other), else_=moment)


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
    Column("expires_at", UtcDateTime),
)

Index("ix_incidents_status_id", incidents.c.status, incidents.c.id)
Index(
    "uq_incidents_open_fingerprint",
    incidents.c.fingerprint,
    unique=True,
    sqlite_where=IS_OPEN,
    postgresql_where=IS_OPEN,
)
Index("ix_incidents_open_expires_at", incidents.c.expires_at, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)

Index("ix_incidents_fingerprint", incidents.c.fingerprint)
Index("ix_incidents_ended_resolved_at", incidents.c.resolved_at, sqlite_where=IS_ENDED, postgresql_where=IS_ENDED)

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
    Column("receipt", JsonObject, nullable=False, server_default=text("'{}'")),
    Column("held_until", UtcDateTime),
    Column("held_by", String(40)),
    Column("silent_until", UtcDateTime),
    Column("silenced_by", String(40)),
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

assessments = Table(
    "assessments",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("incident_id", String(40), ForeignKey("incidents.id"), nullable=False),
    Column("job", String(16), nullable=False),
    Column("found_by", String(32)),
    Column("is_fallback", Boolean, nullable=False),
    Column("data", JsonObject, nullable=False),
    Column("is_pending", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("leased_by", Text),
    UniqueConstraint("incident_id", "job"),
    sqlite_autoincrement=True,
)

Index(
    "ix_assessments_pending_next_attempt_at",
    assessments.c.next_attempt_at,
    sqlite_where=IS_TO_BE_ASSESSED,
    postgresql_where=IS_TO_BE_ASSESSED,
)

incident_groups = Table(
    "incident_groups",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("rule", Text, nullable=False),
    Column("labels", JsonObject, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("size", Integer, nullable=False),
    UniqueConstraint("key", "number"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("incident_id", String(40), ForeignKey("incidents.id"), primary_key=True),
    Column("group_id", String(40), ForeignKey("incident_groups.id")),
    Column("rule", Text, nullable=False),
    Column("labels", JsonObject, nullable=False),
    Column("is_pending", Boolean, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("leased_by", Text),
)

Index("ix_group_members_group_id", group_members.c.group_id)
Index(
    "ix_group_members_pending_next_attempt_at",
    group_members.c.next_attempt_at,
    sqlite_where=IS_TO_BE_GROUPED,
    postgresql_where=IS_TO_BE_GROUPED,
)

silences = Table(
    "silences",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("matchers", JsonObject, nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

Index("ix_silences_ends_at", silences.c.ends_at)
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("token_id", Text),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("changes", JsonObject, nullable=False),
    Column("request_id", Text),
    sqlite_autoincrement=True,
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JsonObject, nullable=False),
    Column("body", Text, nullable=False),
)

Index("ix_idempotency_created_at", idempotency.c.created_at)
Index("ix_incidents_updated_at_id", incidents.c.updated_at, incidents.c.id)

breaker_transitions = Table(
    "breaker_transitions",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("instance", String(40), nullable=False),
    Column("number", Integer, nullable=False),
    Column("breaker", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("from_state", String(16), nullable=False),
    Column("to_state", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("detail", Text),
    Column("open_for", Double),
    Column("attempt", Integer, nullable=False),
    Column("stayed", Double, nullable=False),
    Column("recovery_seconds", Double),
    Column("rejected", Integer),
    Column("by_operator", Boolean, nullable=False),
    UniqueConstraint("instance", "number"),
    sqlite_autoincrement=True,
)

Index("ix_breaker_transitions_breaker_sequence", breaker_transitions.c.breaker, breaker_transitions.c.sequence)
Index("ix_breaker_transitions_at", breaker_transitions.c.at)

breaker_tallies = Table(
    "breaker_tallies",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("instance", String(40), nullable=False),
    Column("breaker", Text, nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("is_rolled_up", Boolean, nullable=False),
    Column("succeeded", Double, nullable=False),
    Column("failed", Double, nullable=False),
    Column("other", Double, nullable=False),
    Column("rejected", Double, nullable=False),
    Column("held_off", Double, nullable=False),
    Column("closed_seconds", Double, nullable=False),
    Column("open_seconds", Double, nullable=False),
    Column("half_open_seconds", Double, nullable=False),
    Column("durations", JsonObject, nullable=False),
    Column("failed_durations", JsonObject, nullable=False),
    sqlite_autoincrement=True,
)

Index("ix_breaker_tallies_instance_starts_at", breaker_tallies.c.instance, breaker_tallies.c.starts_at)
Index("ix_breaker_tallies_ends_at", breaker_tallies.c.ends_at)
Index("ix_breaker_tallies_fine_ends_at", breaker_tallies.c.ends_at, sqlite_where=IS_FINE, postgresql_where=IS_FINE)
