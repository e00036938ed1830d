"""Groups of incidents that belong together."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
PENDING = sa.text("is_pending")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "incident_groups",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("labels", JSON_OBJECT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incident_groups"),
        sa.UniqueConstraint("key", "number", name="uq_incident_groups_key_number"),
    )
    op.create_table(
        "group_members",
        sa.Column("incident_id", sa.String(40), nullable=False),
        sa.Column("group_id", sa.String(40)),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("labels", JSON_OBJECT, nullable=False),
        sa.Column("is_pending", sa.Boolean, nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("leased_by", sa.Text),
        sa.PrimaryKeyConstraint("incident_id", name="pk_group_members"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_group_members_incident_id"),
        sa.ForeignKeyConstraint(["group_id"], ["incident_groups.id"], name="fk_group_members_group_id"),
    )
    op.create_index("ix_group_members_group_id", "group_members", ["group_id"])
    op.create_index(
        "ix_group_members_pending_next_attempt_at",
        "group_members",
        ["next_attempt_at"],
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("group_members")
    op.drop_table("incident_groups")
