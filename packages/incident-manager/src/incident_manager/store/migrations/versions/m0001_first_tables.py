"""Incidents, alerts, timeline, outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out rather than taken from schema.py: a migration must not change when the schema moves on.
MOMENT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.text("status NOT IN ('resolved', 'closed')")
PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    """Make the tables."""
    _make_incidents()
    _make_alerts()
    _make_timeline()
    _make_outbox()


def downgrade() -> None:
    """Drop the tables."""
    for name in ("outbox", "timeline", "alerts", "incidents"):
        op.drop_table(name)


def _make_incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("severity", sa.String(2), nullable=False),
        sa.Column("severity_locked", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("labels", JSON_OBJECT, nullable=False),
        sa.Column("annotations", JSON_OBJECT, nullable=False),
        sa.Column("alert_count", sa.Integer, nullable=False),
        sa.Column("first_seen", MOMENT, nullable=False),
        sa.Column("last_seen", MOMENT, nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("acknowledged_at", MOMENT),
        sa.Column("acknowledged_by", sa.Text),
        sa.Column("assignee", sa.Text),
        sa.Column("resolved_at", MOMENT),
        sa.Column("resolved_by", sa.Text),
        sa.Column("resolution", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    op.create_index("ix_incidents_status_id", "incidents", ["status", "id"])
    op.create_index(
        "uq_incidents_open_fingerprint",
        "incidents",
        ["fingerprint"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )


def _make_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("incident_id", sa.String(40)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("severity", sa.String(2), nullable=False),
        sa.Column("labels", JSON_OBJECT, nullable=False),
        sa.Column("annotations", JSON_OBJECT, nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("dedup_key", sa.Text),
        sa.Column("generator_url", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_alerts_incident_id"),
    )
    op.create_index("ix_alerts_incident_id_id", "alerts", ["incident_id", "id"])


def _make_timeline() -> None:
    op.create_table(
        "timeline",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("incident_id", sa.String(40), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("data", JSON_OBJECT, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_timeline"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_timeline_incident_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_timeline_incident_id_sequence", "timeline", ["incident_id", "sequence"])


def _make_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("incident_id", sa.String(40), nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("payload", JSON_OBJECT, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("delivered_at", MOMENT),
        sa.Column("last_error", sa.Text),
        sa.Column("lease_until", MOMENT),
        sa.Column("leased_by", sa.Text),
        sa.PrimaryKeyConstraint("sequence", name="pk_outbox"),
        sa.UniqueConstraint("id", name="uq_outbox_id"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_outbox_incident_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_incident_id_destination", "outbox", ["incident_id", "destination"])
    op.create_index(
        "ix_outbox_pending_destination_sequence",
        "outbox",
        ["destination", "sequence"],
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )
