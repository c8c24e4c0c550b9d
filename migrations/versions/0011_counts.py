"""Counts over time, the records that are no verdicts, readers of the chain, saved views."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_Seq = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_COUNTED = (
    "created_at",
    "decision",
    "model",
    "deception",
    "dangerous_reasoning",
    "mismatch",
    "unscored",
    "failed_open",
    "coverage_gaps",
    "run",
)


def upgrade() -> None:
    """Create indexes and tables; some 6 seconds for a million verdicts."""
    live, acts = sa.text("run IS NULL"), sa.text("kind <> 'verdict'")
    op.create_index(
        "ix_verdicts_counted", "verdicts", _COUNTED, sqlite_where=live, postgresql_where=live
    )
    op.create_index(
        "ix_records_acts", "records", ["kind", "seq"], sqlite_where=acts, postgresql_where=acts
    )
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("seq", _Seq, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursors"),
    )
    op.create_table(
        "views",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name="pk_views"),
    )


def downgrade() -> None:
    """Remove them; readers of the chain then begin at its end."""
    op.drop_table("views")
    op.drop_table("cursors")
    op.drop_index("ix_records_acts", "records")
    op.drop_index("ix_verdicts_counted", "verdicts")
