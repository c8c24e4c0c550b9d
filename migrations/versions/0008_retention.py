"""What was erased and what is older than a time are found without reading everything."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the indexes."""
    told = sa.text("kind = 'retention'")
    op.create_index(
        "ix_records_retention", "records", ["seq"], sqlite_where=told, postgresql_where=told
    )
    op.create_index("ix_verdicts_created_at_seq", "verdicts", ["created_at", "seq"])


def downgrade() -> None:
    """Remove the indexes."""
    op.drop_index("ix_verdicts_created_at_seq", "verdicts")
    op.drop_index("ix_records_retention", "records")
