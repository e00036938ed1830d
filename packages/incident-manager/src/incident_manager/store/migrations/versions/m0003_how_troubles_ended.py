"""Indexes that tell how the troubles of a fingerprint ended, for alerts that come late."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RESOLVED = sa.text("status = 'resolved'")


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_incidents_fingerprint", "incidents", ["fingerprint"])
    op.create_index(
        "ix_alerts_resolved_fingerprint",
        "alerts",
        ["fingerprint"],
        sqlite_where=RESOLVED,
        postgresql_where=RESOLVED,
    )


def downgrade() -> None:
    """Drop the indexes."""
    op.drop_index("ix_alerts_resolved_fingerprint", "alerts")
    op.drop_index("ix_incidents_fingerprint", "incidents")
