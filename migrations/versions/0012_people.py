"""Second opinions, with what waits because of them, and users whom a provider vouches for."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_FRESH = "(review IS NULL AND (decision > 0 OR unscored IS NOT NULL))"
_WAITING = f"run IS NULL AND (review IN ('escalate', 'second', 'dispute') OR {_FRESH})"
_WAITED = f"run IS NULL AND (review = 'escalate' OR {_FRESH})"


def upgrade() -> None:
    """Add the columns; so far every answer left its verdict at what it said."""
    op.add_column("users", sa.Column("subject", sa.Text))
    op.create_index("ix_users_subject", "users", ["subject"], unique=True)
    op.add_column("reviews", sa.Column("standing", sa.Text, nullable=False, server_default=""))
    op.execute("UPDATE reviews SET standing = outcome")
    asked = sa.text("standing = 'second'")
    op.create_index(
        "ix_reviews_asked", "reviews", ["verdict_seq"], sqlite_where=asked, postgresql_where=asked
    )
    _index_waiting(_WAITING)


def downgrade() -> None:
    """Remove them; what waited for another opinion counts as answered by the first."""
    op.drop_index("ix_users_subject", "users")
    op.drop_column("users", "subject")
    newest = (
        "SELECT outcome FROM reviews WHERE verdict_seq = verdicts.seq ORDER BY seq DESC LIMIT 1"
    )
    op.execute(
        f"UPDATE verdicts SET review = ({newest}) "  # noqa: S608 - no input
        "WHERE review IN ('second', 'dispute')"
    )
    _index_waiting(_WAITED)
    op.drop_index("ix_reviews_asked", "reviews")
    op.drop_column("reviews", "standing")


def _index_waiting(condition: str) -> None:
    op.drop_index("ix_verdicts_waiting", "verdicts")
    waiting = sa.text(condition)
    op.create_index(
        "ix_verdicts_waiting", "verdicts", ["seq"], sqlite_where=waiting, postgresql_where=waiting
    )
