"""What silences hold, apart from what else is held."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("outbox", sa.Column("silent_until", sa.DateTime(timezone=True)))
    op.add_column("outbox", sa.Column("silenced_by", sa.String(40)))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("outbox", "silenced_by")
    op.drop_column("outbox", "silent_until")
