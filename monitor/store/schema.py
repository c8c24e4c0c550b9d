"""The tables: the chain, what is asked of it, and the text apart from both.

    records ──< verdicts ──< contents          checkpoints    heartbeats    texts
       └──< reviews >──┴──< claims             users ──< sessions    tokens

`records` is the truth and is only ever appended to. `verdicts` repeats parts of it in columns, so
that they can be searched. `contents` is the only place with text of a trace, so it can be erased.
`checkpoints` says with signatures what `records` was at some sizes. `reviews` repeats the records
of answers, with their notes, which can be erased too; `claims` says who is at what just now.
`users`, `sessions` and `tokens` hold hashes of secrets; what was done to them is in `records`.
`runs` lists runs of re-scoring and what they changed. `heartbeats` holds nothing.
`counts` are of verdicts by hour, for every so many records: all of it can be counted anew.
`cursors` says how far the chain was told to others, `views` what people call the filters that they
use. `texts` is the search index over what is in `contents` in the clear; it is another one on each
database, so it stands in `monitor.store.texts`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

#: SQLite keeps a row under its key only when the key's type is exactly INTEGER.
_Seq = BigInteger().with_variant(Integer, "sqlite")


def _key(target: str | None = None) -> Column[int]:
    links = [] if target is None else [ForeignKey(target)]
    return Column("seq", _Seq, *links, primary_key=True, autoincrement=False)


records = Table(
    "records",
    metadata,
    _key(),
    Column("kind", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    #: Canonical JSON.
    Column("body", Text, nullable=False),
)
_policies = text("kind = 'policy'")
Index("ix_records_policies", records.c.seq, sqlite_where=_policies, postgresql_where=_policies)
_retention = text("kind = 'retention'")
Index("ix_records_retention", records.c.seq, sqlite_where=_retention, postgresql_where=_retention)
#: Whatever is no verdict, by kind: little among much.
_acts = text("kind <> 'verdict'")
Index("ix_records_acts", records.c.kind, records.c.seq, sqlite_where=_acts, postgresql_where=_acts)

verdicts = Table(
    "verdicts",
    metadata,
    _key("records.seq"),
    Column("verdict_id", Text, nullable=False, unique=True),
    Column("trace_id", Text, nullable=False, index=True),
    Column("created_at", Text, nullable=False),
    Column("decision", Integer, nullable=False),
    Column("mode", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("conversation_id", Text, nullable=False),
    Column("deception", Double),
    Column("dangerous_reasoning", Double),
    Column("mismatch", Double),
    Column("unscored", Text),
    Column("failed_open", Boolean, nullable=False),
    Column("disguised", Integer, nullable=False),
    #: Names of gaps, apart by spaces.
    Column("coverage_gaps", Text, nullable=False, server_default=""),
    #: Name of the run of re-scoring; null for verdicts made when the response was.
    Column("run", Text),
    #: Where the newest review left it, None before the first: the only column that ever changes.
    Column("review", Text),
)
Index(None, verdicts.c.created_at, verdicts.c.seq)
Index(None, verdicts.c.decision, verdicts.c.seq)
Index(None, verdicts.c.model, verdicts.c.seq)
Index(None, verdicts.c.tenant, verdicts.c.seq)
#: High probabilities are what people look for, and rare.
SCORE_STEPS = (0.5, 0.9)
SCORES = ("deception", "dangerous_reasoning", "mismatch")


def score_index(check: str, step: float) -> str:
    """Return the name of the index of what has at least this probability."""
    return f"ix_verdicts_{check}_{step * 100:.0f}"


for _check in SCORES:
    for _step in SCORE_STEPS:
        _high = text(f"{_check} >= {_step}")
        Index(
            score_index(_check, _step),
            verdicts.c.seq,
            sqlite_where=_high,
            postgresql_where=_high,
        )
_talk = text("conversation_id <> ''")
Index(
    "ix_verdicts_conversation",
    verdicts.c.conversation_id,
    verdicts.c.tenant,  # or SQLite would rather read all verdicts of the tenant
    verdicts.c.seq,
    sqlite_where=_talk,
    postgresql_where=_talk,
)
_unscored = text("unscored IS NOT NULL")
Index("ix_verdicts_unscored", verdicts.c.seq, sqlite_where=_unscored, postgresql_where=_unscored)
_gaps = text("coverage_gaps <> ''")
Index("ix_verdicts_coverage_gaps", verdicts.c.seq, sqlite_where=_gaps, postgresql_where=_gaps)
_live, _rescored = text("run IS NULL"), text("run IS NOT NULL")
Index("ix_verdicts_live", verdicts.c.seq, sqlite_where=_live, postgresql_where=_live)
Index(
    "ix_verdicts_runs",
    verdicts.c.run,
    verdicts.c.seq,
    sqlite_where=_rescored,
    postgresql_where=_rescored,
)

#: What waits for a person, as SQL: an index can say so too.
WAITING = (
    "run IS NULL AND "
    "(review IN ('escalate', 'second', 'dispute')"
    " OR (review IS NULL AND (decision > 0 OR unscored IS NOT NULL)))"
)
_waiting = text(WAITING)
#: All that is counted over time: no row has to be read for it.
Index(
    "ix_verdicts_counted",
    verdicts.c.created_at,
    verdicts.c.decision,
    verdicts.c.model,
    verdicts.c.deception,
    verdicts.c.dangerous_reasoning,
    verdicts.c.mismatch,
    verdicts.c.unscored,
    verdicts.c.failed_open,
    verdicts.c.coverage_gaps,
    # SQLite reads the row to see what is null in all of the index.
    verdicts.c.run,
    sqlite_where=_live,
    postgresql_where=_live,
)
Index("ix_verdicts_waiting", verdicts.c.seq, sqlite_where=_waiting, postgresql_where=_waiting)

contents = Table(
    "contents",
    metadata,
    _key("verdicts.seq"),
    #: The beginning of the answer, for lists.
    Column("excerpt", Text, nullable=False),
    #: zlib-compressed canonical JSON; its SHA-256 and size are in the record.
    Column("data", LargeBinary, nullable=False),
    #: Which key encrypted both, the excerpt then in base64; None: they are in the clear.
    Column("key_id", Text),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    #: One row, written again and again to see whether writing works.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("beats", BigInteger, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    #: Records that it covers.
    Column("size", _Seq, primary_key=True, autoincrement=False),
    Column("created_at", Text, nullable=False),
    #: The signed note.
    Column("note", Text, nullable=False),
)

reviews = Table(
    "reviews",
    metadata,
    _key("records.seq"),
    Column("review_id", Text, nullable=False, unique=True),
    Column("verdict_seq", _Seq, ForeignKey("verdicts.seq"), nullable=False, index=True),
    Column("reviewer", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    #: Where it left the verdict.
    Column("standing", Text, nullable=False, server_default=""),
    #: What the reviewer says of each check; None where nothing was said.
    Column("deception", Boolean),
    Column("dangerous_reasoning", Boolean),
    Column("mismatch", Boolean),
    #: None once it was erased; its SHA-256 is in the record.
    Column("note", Text),
    #: Which key encrypted it, the note then in base64; None: it is in the clear.
    Column("note_key_id", Text),
)

Index("ix_reviews_reviewer", reviews.c.reviewer, reviews.c.verdict_seq)
_asked = text("standing = 'second'")
Index("ix_reviews_asked", reviews.c.verdict_seq, sqlite_where=_asked, postgresql_where=_asked)

claims = Table(
    "claims",
    metadata,
    Column("verdict_seq", _Seq, ForeignKey("verdicts.seq"), primary_key=True, autoincrement=False),
    Column("reviewer", Text, nullable=False),
    #: UTC, ISO 8601 with milliseconds and `Z`, so that text compares like time.
    Column("expires_at", Text, nullable=False),
)

cursors = Table(
    "cursors",
    metadata,
    #: Who reads the chain.
    Column("name", Text, primary_key=True),
    #: The last record that they have done with.
    Column("seq", _Seq, nullable=False),
    #: Which of several servers does so now; None: none, or it does not matter.
    Column("holder", Text),
    #: Counts the holder's signs of life.
    Column("beats", BigInteger, nullable=False, server_default="0"),
)

counts = Table(
    "counts",
    metadata,
    #: So many records each, from the first on.
    Column("piece", _Seq, primary_key=True, autoincrement=False),
    #: The newest hour in it: who looks back less far need not read it.
    Column("newest", Text, nullable=False),
    #: Sums over all hours.
    *(
        Column(name, Integer, nullable=False)
        for name in ("allows", "flags", "blocks", "unscored", "gaps")
    ),
    #: zlib-compressed canonical JSON.
    Column("data", LargeBinary, nullable=False),
)

views = Table(
    "views",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    #: Path and query.
    Column("address", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    #: Argon2, with its salt and parameters; empty for who has no password.
    Column("password_hash", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Text, nullable=False),
    #: Issuer and subject by which a provider vouches for them.
    Column("subject", Text),
)
Index("ix_users_subject", users.c.subject, unique=True)

sessions = Table(
    "sessions",
    metadata,
    #: SHA-256 of the cookie.
    Column("secret_sha256", String(64), primary_key=True),
    Column("name", Text, ForeignKey("users.name"), nullable=False, index=True),
    Column("expires_at", Text, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    #: SHA-256 of the token.
    Column("secret_sha256", String(64), nullable=False, unique=True),
    #: Names of scopes, with spaces between.
    Column("scopes", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("revoked", Boolean, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    #: As in `verdicts.run`.
    Column("name", Text, primary_key=True),
    Column("started_at", Text, nullable=False, index=True),
    Column("finished_at", Text),
    Column("policy", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False, server_default=""),
    *(
        Column(name, BigInteger, nullable=False, server_default="0")
        for name in ("allows", "flags", "blocks", "unscored", "bad", "flipped")
    ),
    #: Name of the run whose scores were decided anew; null where texts were judged.
    Column("scores_of", Text),
    Column("compared_with", Text),
    #: JSON, without words of traces.
    Column("comparison", Text),
)
