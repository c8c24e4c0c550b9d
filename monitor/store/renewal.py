"""Storing texts and notes again as they would be stored now: encrypted anew, and searchable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from monitor.sealing import Keyring
from monitor.store import texts
from monitor.store.chain import body_of
from monitor.store.content import Content, excerpt_in, unpack
from monitor.store.errors import Locked
from monitor.store.schema import contents, records, reviews, verdicts
from monitor.store.sealed import Home, Text, content_row, data_of, note_of, note_row

#: Texts in one transaction.
BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What became of the texts and notes."""

    #: Put under another key, or from the clear under one.
    encrypted: int = 0
    #: Taken into the search index.
    indexed: int = 0
    #: Left as they are, because their key is not here.
    locked: int = 0

    def __add__(self, other: "Renewed") -> "Renewed":
        return Renewed(
            encrypted=self.encrypted + other.encrypted,
            indexed=self.indexed + other.indexed,
            locked=self.locked + other.locked,
        )


_stored = (
    select(contents, verdicts.c.verdict_id, verdicts.c.tenant, records.c.body)
    .join_from(contents, verdicts, verdicts.c.seq == contents.c.seq)
    .join(records, records.c.seq == contents.c.seq)
    .order_by(contents.c.seq)
    .limit(BATCH)
)


_noted = (
    select(reviews, verdicts.c.verdict_id, verdicts.c.tenant)
    .join_from(reviews, verdicts, verdicts.c.seq == reviews.c.verdict_seq)
    .where(reviews.c.note != "")
    .order_by(reviews.c.seq)
    .limit(BATCH)
)


def batch(connection: Connection, after: int) -> Sequence[Row[Any]]:
    """Return the next texts as they are stored."""
    return connection.execute(_stored.where(contents.c.seq > after)).all()


def notes(connection: Connection, after: int) -> Sequence[Row[Any]]:
    """Return the next notes as they are stored."""
    return connection.execute(_noted.where(reviews.c.seq > after)).all()


def renew_note(connection: Connection, row: Row[Any], keys: Keyring) -> Renewed:
    """Store a note again; CorruptContent when it was altered."""
    home = Home(row.verdict_id, row.tenant)
    try:
        note = note_of(row.note_key_id, row.note, row.review_id, home, keys)
    except Locked:
        return Renewed(locked=1)
    if keys.current(row.tenant) in {None, row.note_key_id}:
        return Renewed()  # nothing is taken out of encryption
    changed = update(reviews).where(reviews.c.seq == row.seq)
    connection.execute(changed.values(**note_row(note or "", row.review_id, home, keys)))
    return Renewed(encrypted=1)


def renew(connection: Connection, row: Row[Any], keys: Keyring) -> Renewed:
    """Store a text again; CorruptContent when it was altered."""
    home = Home(row.verdict_id, row.tenant)
    wanted = keys.current(row.tenant)
    try:
        data = data_of(Text(row.key_id, row.excerpt, row.data), home, keys)
    except Locked:
        return Renewed(locked=1)
    if wanted is None and row.key_id is None:
        return _index(connection, row, data)
    if wanted in (None, row.key_id):
        return Renewed()  # nothing is taken out of encryption
    body = body_of(row.body)
    content = Content(body=body, excerpt=excerpt_in(body, data), data=data, words="")
    changed = update(contents).where(contents.c.seq == row.seq)
    connection.execute(changed.values(**content_row(content, home, keys)))
    texts.drop(connection, [row.seq])
    return Renewed(encrypted=1)


def _index(connection: Connection, row: Row[Any], data: bytes) -> Renewed:
    if texts.has(connection, row.seq):
        return Renewed()
    trace, _ = unpack(body_of(row.body), data)
    texts.put(connection, [(row.seq, texts.words_of(trace))])
    return Renewed(indexed=1)
