"""Texts are erased by age and by wish, and can be encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the indexes, and say that no text is encrypted so far."""
    told = sa.text("kind = 'retention'")
    op.create_index(
        "ix_records_retention", "records", ["seq"], sqlite_where=told, postgresql_where=told
    )
    op.add_column("contents", sa.Column("key_id", sa.Text))
    op.create_index("ix_verdicts_created_at_seq", "verdicts", ["created_at", "seq"])


def downgrade() -> None:
    """Remove them; what is encrypted cannot be read by older code."""
    op.drop_index("ix_verdicts_created_at_seq", "verdicts")
    op.drop_index("ix_records_retention", "records")
    op.drop_column("contents", "key_id")
