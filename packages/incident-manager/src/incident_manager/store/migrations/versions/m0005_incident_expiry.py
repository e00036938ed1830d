"""When an incident counts as over unless its alert is repeated."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPEN = sa.text("status NOT IN ('resolved', 'closed')")


def upgrade() -> None:
    """Add the column, and the index that finds those that are due."""
    op.add_column("incidents", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_incidents_open_expires_at", "incidents", ["expires_at"], sqlite_where=OPEN, postgresql_where=OPEN
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_index("ix_incidents_open_expires_at", "incidents")
    op.drop_column("incidents", "expires_at")
