"""The chain in the database: append to it, read it in order."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, literal, select

from monitor.audit import GENESIS, AuditRecord, Kind, Unread, Verbatim, canonical, seal
from monitor.store.schema import records

# Built once: building a statement takes longer than running it.
_append = insert(records)
_newest_first = records.c.seq.desc()
_newest = select(records.c.seq, records.c.hash).order_by(_newest_first).limit(1)
_is_policy: ColumnElement[bool] = records.c.kind == literal(Kind.POLICY.value, literal_execute=True)
_newest_policy = select(records).where(_is_policy).order_by(_newest_first).limit(1)

#: What the chain says of texts that were erased.
IS_RETENTION: ColumnElement[bool] = records.c.kind == literal(
    Kind.RETENTION.value, literal_execute=True
)


def append(
    connection: Connection, *, kind: Kind, created_at: str, body: Mapping[str, Any]
) -> AuditRecord:
    """Add a record; the caller's transaction keeps other writers out."""
    return append_all(connection, kind=kind, bodies=[(created_at, body)])[0]


def append_all(
    connection: Connection, *, kind: Kind, bodies: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[AuditRecord]:
    """Add records, each made at a time, in this order; see `append`."""
    newest, head = last(connection)
    added: list[AuditRecord] = []
    for seq, (created_at, body) in enumerate(bodies, newest + 1):
        added.append(seal(seq=seq, kind=kind, created_at=created_at, body=body, previous=head))
        head = added[-1].hash
    if added:
        connection.execute(_append, [_row(record) for record in added])
    return added


def _row(record: AuditRecord) -> dict[str, Any]:
    fields = ("seq", "kind", "created_at", "previous", "hash")
    text = canonical(record.body).decode("ascii")
    return {**{name: getattr(record, name) for name in fields}, "body": text}


def last(connection: Connection) -> tuple[int, str]:
    """Return number and hash of the newest record; -1 and GENESIS when there is none."""
    row = connection.execute(_newest).first()
    return (-1, GENESIS) if row is None else (row.seq, row.hash)


def get(connection: Connection, seq: int) -> AuditRecord:
    """Return the record with this number."""
    return record_of(connection.execute(select(records).where(records.c.seq == seq)).one())


def last_policy(connection: Connection) -> AuditRecord | None:
    """Return the newest record of a policy."""
    row = connection.execute(_newest_policy).first()
    return None if row is None else record_of(row)


def record_of(row: Row[Any]) -> AuditRecord:
    """Return what a row of `records` says, whatever that is."""
    return _record(row, body_of(row.body))


def unread(row: Row[Any]) -> AuditRecord:
    """Like `record_of`; the body is parsed when somebody looks into it."""
    text = row.body
    return _record(row, Unread(text, body_of) if isinstance(text, str) else body_of(text))


def _record(row: Row[Any], body: Mapping[str, Any]) -> AuditRecord:
    return AuditRecord(
        seq=row.seq,
        kind=row.kind,
        created_at=row.created_at,
        body=body,
        previous=row.previous,
        hash=row.hash,
    )


def body_of(text: Any) -> dict[str, Any]:  # noqa: ANN401 (SQLite holds any type in any column)
    """Parse a stored body; what is none becomes one that fits no hash."""
    try:
        body = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        body = None
    return Verbatim(body, text) if isinstance(body, dict) else {"unreadable": repr(text)}
