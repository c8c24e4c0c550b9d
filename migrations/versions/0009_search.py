"""Texts are found by their words. Those that are there already: `subtext audit renew`."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_FTS5 = (
    "CREATE VIRTUAL TABLE texts USING fts5"
    """(words, detail = 'none', columnsize = 0, tokenize = "ascii tokenchars '_'")"""
)


_HIGH = [
    (f"ix_verdicts_{check}_{percent}", f"{check} >= 0.{percent // 10}")
    for check in ("deception", "dangerous_reasoning", "mismatch")
    for percent in (50, 90)
]


def upgrade() -> None:
    """Create the indexes, the one of words with nothing in it."""
    op.create_index("ix_reviews_reviewer", "reviews", ["reviewer", "verdict_seq"])
    op.create_index("ix_verdicts_tenant_seq", "verdicts", ["tenant", "seq"])
    for name, where in _HIGH:
        high = sa.text(where)
        op.create_index(name, "verdicts", ["seq"], sqlite_where=high, postgresql_where=high)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_FTS5)
        return
    op.execute("CREATE TABLE texts (seq bigint PRIMARY KEY, words tsvector NOT NULL)")
    op.execute("CREATE INDEX ix_texts_words ON texts USING gin (words)")


def downgrade() -> None:
    """Remove the indexes."""
    op.execute("DROP TABLE texts")
    for name, _ in _HIGH:
        op.drop_index(name, "verdicts")
    op.drop_index("ix_verdicts_tenant_seq", "verdicts")
    op.drop_index("ix_reviews_reviewer", "reviews")
