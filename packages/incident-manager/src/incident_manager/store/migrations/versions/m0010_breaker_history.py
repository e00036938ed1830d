"""What the circuit breakers went through."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FINE = sa.text("NOT is_rolled_up")
COUNTS = (
    "succeeded",
    "failed",
    "other",
    "rejected",
    "held_off",
    "closed_seconds",
    "open_seconds",
    "half_open_seconds",
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "breaker_transitions",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("instance", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("breaker", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("from_state", sa.String(16), nullable=False),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("open_for", sa.Double),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("stayed", sa.Double, nullable=False),
        sa.Column("recovery_seconds", sa.Double),
        sa.Column("rejected", sa.Integer),
        sa.Column("by_operator", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_breaker_transitions"),
        sa.UniqueConstraint("instance", "number", name="uq_breaker_transitions_instance_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_breaker_transitions_breaker_sequence", "breaker_transitions", ["breaker", "sequence"])
    op.create_index("ix_breaker_transitions_at", "breaker_transitions", ["at"])
    op.create_table(
        "breaker_tallies",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("instance", sa.String(40), nullable=False),
        sa.Column("breaker", sa.Text, nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("is_rolled_up", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in COUNTS),
        sa.Column("durations", JSON_OBJECT, nullable=False),
        sa.Column("failed_durations", JSON_OBJECT, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_breaker_tallies"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_breaker_tallies_instance_starts_at", "breaker_tallies", ["instance", "starts_at"])
    op.create_index("ix_breaker_tallies_ends_at", "breaker_tallies", ["ends_at"])
    op.create_index(
        "ix_breaker_tallies_fine_ends_at", "breaker_tallies", ["ends_at"], sqlite_where=FINE, postgresql_where=FINE
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("breaker_tallies")
    op.drop_table("breaker_transitions")
