"""Finding incidents that ended long ago."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ENDED = sa.text("status IN ('resolved', 'closed')")


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        "ix_incidents_ended_resolved_at", "incidents", ["resolved_at"], sqlite_where=ENDED, postgresql_where=ENDED
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_incidents_ended_resolved_at", "incidents")
