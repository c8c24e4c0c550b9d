"""Who of several servers reads the chain, counts by hour, and notes that are encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_Seq = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add columns and table: nobody holds a place, nothing is counted and no note encrypted yet."""
    op.add_column("reviews", sa.Column("note_key_id", sa.Text))
    op.add_column("cursors", sa.Column("holder", sa.Text))
    op.add_column("cursors", sa.Column("beats", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "counts",
        sa.Column("piece", _Seq, nullable=False, autoincrement=False),
        sa.Column("newest", sa.Text, nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("allows", "flags", "blocks", "unscored", "gaps")
        ),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("piece", name="pk_counts"),
    )


def downgrade() -> None:
    """Remove them: every server reads for itself, and no key is known of encrypted notes."""
    op.drop_column("reviews", "note_key_id")
    op.drop_table("counts")
    op.drop_column("cursors", "beats")
    op.drop_column("cursors", "holder")
