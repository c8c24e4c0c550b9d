"""Runs of re-scoring that decided anew name the run whose scores they had."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column: null for all that is there, which judged texts."""
    op.add_column("runs", sa.Column("scores_of", sa.Text))


def downgrade() -> None:
    """Forget whose scores they were; the runs stay listed."""
    op.drop_column("runs", "scores_of")
