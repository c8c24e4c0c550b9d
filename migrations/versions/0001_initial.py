"""The chain, the verdicts and their contents."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Seq = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create everything."""
    _records()
    _verdicts()
    op.create_table(
        "contents",
        sa.Column("seq", _Seq, autoincrement=False, nullable=False),
        sa.Column("excerpt", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_contents"),
        sa.ForeignKeyConstraint(["seq"], ["verdicts.seq"], name="fk_contents_seq"),
    )


def downgrade() -> None:
    """Remove everything: the audit log is lost."""
    for table in ("contents", "verdicts", "records"):
        op.drop_table(table)


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("seq", _Seq, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_records"),
    )
    _partial_index("ix_records_policies", "records", "kind = 'policy'")


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("seq", _Seq, autoincrement=False, nullable=False),
        sa.Column("verdict_id", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("decision", sa.Integer, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("deception", sa.Double),
        sa.Column("dangerous_reasoning", sa.Double),
        sa.Column("mismatch", sa.Double),
        sa.Column("unscored", sa.Text),
        sa.Column("failed_open", sa.Boolean, nullable=False),
        sa.Column("disguised", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_verdicts"),
        sa.ForeignKeyConstraint(["seq"], ["records.seq"], name="fk_verdicts_seq"),
        sa.UniqueConstraint("verdict_id", name="uq_verdicts_verdict_id"),
    )
    op.create_index("ix_verdicts_trace_id", "verdicts", ["trace_id"])
    op.create_index("ix_verdicts_decision_seq", "verdicts", ["decision", "seq"])
    op.create_index("ix_verdicts_model_seq", "verdicts", ["model", "seq"])
    _partial_index("ix_verdicts_unscored", "verdicts", "unscored IS NOT NULL")


def _partial_index(name: str, table: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, ["seq"], sqlite_where=condition, postgresql_where=condition)
