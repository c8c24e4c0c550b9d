"""Counts over time, and the records that are no verdicts."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"

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
    """Create the indexes; some 6 seconds for a million verdicts."""
    live, acts = sa.text("run IS NULL"), sa.text("kind <> 'verdict'")
    op.create_index(
        "ix_verdicts_counted", "verdicts", _COUNTED, sqlite_where=live, postgresql_where=live
    )
    op.create_index(
        "ix_records_acts", "records", ["kind", "seq"], sqlite_where=acts, postgresql_where=acts
    )


def downgrade() -> None:
    """Remove the indexes."""
    op.drop_index("ix_records_acts", "records")
    op.drop_index("ix_verdicts_counted", "verdicts")
