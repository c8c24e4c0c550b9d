"""Signed checkpoints of the chain."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_Size = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the table; a log that exists gets its first checkpoint from the next server."""
    op.create_table(
        "checkpoints",
        sa.Column("size", _Size, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_checkpoints"),
    )


def downgrade() -> None:
    """Remove the table: only copies elsewhere remain."""
    op.drop_table("checkpoints")
