"""Reviews, and what waits for them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_Seq = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_WAITING = (
    "run IS NULL AND "
    "(review = 'escalate' OR (review IS NULL AND (decision > 0 OR unscored IS NOT NULL)))"
)


def upgrade() -> None:
    """Create the tables; what was flagged so far waits for a review."""
    op.add_column("verdicts", sa.Column("review", sa.Text))
    waiting = sa.text(_WAITING)
    op.create_index(
        "ix_verdicts_waiting", "verdicts", ["seq"], sqlite_where=waiting, postgresql_where=waiting
    )
    _reviews()
    op.create_table(
        "claims",
        sa.Column("verdict_seq", _Seq, autoincrement=False, nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("verdict_seq", name="pk_claims"),
        sa.ForeignKeyConstraint(["verdict_seq"], ["verdicts.seq"], name="fk_claims_verdict_seq"),
    )


def downgrade() -> None:
    """Remove the tables: answers remain in the chain, notes are lost."""
    op.drop_table("claims")
    op.drop_table("reviews")
    op.drop_index("ix_verdicts_waiting", "verdicts")
    op.drop_column("verdicts", "review")


def _reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("seq", _Seq, autoincrement=False, nullable=False),
        sa.Column("review_id", sa.Text, nullable=False),
        sa.Column("verdict_seq", _Seq, nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("deception", sa.Boolean),
        sa.Column("dangerous_reasoning", sa.Boolean),
        sa.Column("mismatch", sa.Boolean),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("seq", name="pk_reviews"),
        sa.ForeignKeyConstraint(["seq"], ["records.seq"], name="fk_reviews_seq"),
        sa.ForeignKeyConstraint(["verdict_seq"], ["verdicts.seq"], name="fk_reviews_verdict_seq"),
        sa.UniqueConstraint("review_id", name="uq_reviews_review_id"),
    )
    op.create_index("ix_reviews_verdict_seq", "reviews", ["verdict_seq"])
