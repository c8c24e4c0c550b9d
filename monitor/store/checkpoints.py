"""Signed checkpoints beside the chain, and the hashes that they are about."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from monitor.store.schema import checkpoints, records


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint as the database keeps it."""

    #: Records that it covers.
    size: int
    #: When it was signed, as the signer said; the signature does not cover this.
    created_at: str
    #: The signed note.
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the chain says of a record, without the record."""

    seq: int
    previous: str
    hash: str


_newest = select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)
_newest_size = select(func.max(checkpoints.c.size))
_insert = insert(checkpoints)
_after = (
    select(checkpoints)
    .where(checkpoints.c.size > bindparam("after"))
    .order_by(checkpoints.c.size)
    .limit(bindparam("count"))
)
_links = (
    select(records.c.seq, records.c.previous, records.c.hash)
    .where(records.c.seq >= bindparam("start"))
    .order_by(records.c.seq)
    .limit(bindparam("count"))
)


def newest(connection: Connection) -> StoredCheckpoint | None:
    """Return the one that covers most."""
    row = connection.execute(_newest).first()
    return None if row is None else _checkpoint_of(row)


def after(connection: Connection, size: int, count: int) -> list[StoredCheckpoint]:
    """Return the next ones that cover more than `size` records."""
    rows = connection.execute(_after, {"after": size, "count": count})
    return [_checkpoint_of(row) for row in rows]


def add(connection: Connection, checkpoint: StoredCheckpoint, *, following: int | None) -> bool:
    """Store a checkpoint, unless the newest is no longer the one with this size."""
    if connection.execute(_newest_size).scalar_one() != following:
        return False
    row = {name: getattr(checkpoint, name) for name in StoredCheckpoint.__slots__}
    connection.execute(_insert, row)
    return True


def links(connection: Connection, start: int, count: int) -> list[Link]:
    """Return the next links of the chain from record `start` on."""
    rows = connection.execute(_links, {"start": start, "count": count})
    return [Link(seq=row.seq, previous=row.previous, hash=row.hash) for row in rows]


def _checkpoint_of(row: Row[Any]) -> StoredCheckpoint:
    """SQLite holds any type in any column: what is no text becomes one that is no note."""
    return StoredCheckpoint(size=row.size, created_at=str(row.created_at), note=str(row.note))
