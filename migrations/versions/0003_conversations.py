"""The turns of a conversation are found without reading every verdict."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NAME = "ix_verdicts_conversation"


def upgrade() -> None:
    """Index those verdicts that have a conversation."""
    condition = sa.text("conversation_id <> ''")
    columns = ["conversation_id", "tenant", "seq"]
    op.create_index(_NAME, "verdicts", columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    """Remove the index."""
    op.drop_index(_NAME, table_name="verdicts")
