"""What a receiver said of a notification."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Add the column."""
    op.add_column("outbox", sa.Column("receipt", JSON_OBJECT, nullable=False, server_default=sa.text("'{}'")))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("outbox", "receipt")
