"""Runs of re-scoring, for the dashboard's list of them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_counts = ("allows", "flags", "blocks", "unscored", "bad", "flipped")


def upgrade() -> None:
    """Create the table; of runs that are there already only the beginning is known."""
    op.create_table(
        "runs",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Text),
        sa.Column("policy", sa.Text, nullable=False, server_default=""),
        sa.Column("model", sa.Text, nullable=False, server_default=""),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in _counts),
        sa.Column("compared_with", sa.Text),
        sa.Column("comparison", sa.Text),
        sa.PrimaryKeyConstraint("name", name="pk_runs"),
    )
    op.create_index("ix_runs_started_at", "runs", ["started_at"])
    op.execute(
        "INSERT INTO runs (name, started_at) SELECT run, min(created_at) FROM verdicts"
        " WHERE run IS NOT NULL GROUP BY run"
    )


def downgrade() -> None:
    """Remove the table; the verdicts of runs stay."""
    op.drop_index("ix_runs_started_at", "runs")
    op.drop_table("runs")
