"""Who of several servers reads the chain."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the columns: nobody holds a place yet."""
    op.add_column("cursors", sa.Column("holder", sa.Text))
    op.add_column("cursors", sa.Column("beats", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Remove them: every server reads for itself again."""
    op.drop_column("cursors", "beats")
    op.drop_column("cursors", "holder")
