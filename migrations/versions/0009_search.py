"""Texts are found by their words. Those that are there already: `subtext audit renew`."""

from alembic import op

revision = "0009"
down_revision = "0008"

_FTS5 = (
    "CREATE VIRTUAL TABLE texts USING fts5"
    """(words, detail = 'none', columnsize = 0, tokenize = "ascii tokenchars '_'")"""
)


def upgrade() -> None:
    """Create the index, with nothing in it."""
    op.create_index("ix_reviews_reviewer", "reviews", ["reviewer", "verdict_seq"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_FTS5)
        return
    op.execute("CREATE TABLE texts (seq bigint PRIMARY KEY, words tsvector NOT NULL)")
    op.execute("CREATE INDEX ix_texts_words ON texts USING gin (words)")


def downgrade() -> None:
    """Remove the index."""
    op.execute("DROP TABLE texts")
    op.drop_index("ix_reviews_reviewer", "reviews")
