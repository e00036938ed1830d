"""What the LLM-ops services say of incidents, and notifications that wait for it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PENDING = sa.text("is_pending")


def upgrade() -> None:
    """Make the table and the columns."""
    op.add_column("outbox", sa.Column("held_until", MOMENT))
    op.add_column("outbox", sa.Column("held_by", sa.String(40)))
    op.create_table(
        "assessments",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("incident_id", sa.String(40), nullable=False),
        sa.Column("job", sa.String(16), nullable=False),
        sa.Column("found_by", sa.String(32)),
        sa.Column("is_fallback", sa.Boolean, nullable=False),
        sa.Column("data", JSON_OBJECT, nullable=False),
        sa.Column("is_pending", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("leased_by", sa.Text),
        sa.PrimaryKeyConstraint("sequence", name="pk_assessments"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_assessments_incident_id"),
        sa.UniqueConstraint("incident_id", "job", name="uq_assessments_incident_id_job"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_assessments_pending_next_attempt_at",
        "assessments",
        ["next_attempt_at"],
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )


def downgrade() -> None:
    """Drop the table and the columns."""
    op.drop_table("assessments")
    op.drop_column("outbox", "held_by")
    op.drop_column("outbox", "held_until")
