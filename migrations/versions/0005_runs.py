"""Verdicts of re-scoring runs, beside those that were made when the response was."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the name of the run; all that is there was no run."""
    op.add_column("verdicts", sa.Column("run", sa.Text))
    _partial_index("ix_verdicts_live", ["seq"], "run IS NULL")
    _partial_index("ix_verdicts_runs", ["run", "seq"], "run IS NOT NULL")


def downgrade() -> None:
    """Remove the column: runs can no longer be told from live verdicts, except in the chain."""
    op.drop_index("ix_verdicts_runs", "verdicts")
    op.drop_index("ix_verdicts_live", "verdicts")
    op.drop_column("verdicts", "run")


def _partial_index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "verdicts", columns, sqlite_where=where, postgresql_where=where)
