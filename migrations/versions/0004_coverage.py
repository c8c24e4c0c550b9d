"""What of a response could not be seen, as a column; a row to try writing with."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_GAPS = sa.text("coverage_gaps <> ''")


def upgrade() -> None:
    """Add the column, empty for what is there, and the table."""
    op.add_column(
        "verdicts", sa.Column("coverage_gaps", sa.Text, nullable=False, server_default="")
    )
    op.create_index(
        "ix_verdicts_coverage_gaps",
        "verdicts",
        ["seq"],
        sqlite_where=_GAPS,
        postgresql_where=_GAPS,
    )
    op.create_table(
        "heartbeats",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_heartbeats"),
    )


def downgrade() -> None:
    """Remove both: the records keep the gaps."""
    op.drop_table("heartbeats")
    op.drop_index("ix_verdicts_coverage_gaps", "verdicts")
    op.drop_column("verdicts", "coverage_gaps")
