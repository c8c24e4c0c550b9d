"""The store: where verdicts become durable, and where they are found again."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Engine, Row, Select, bindparam, insert, select, update

from monitor.audit import AuditRecord, Kind, Report, verify
from monitor.sealing import Keyring
from monitor.store import chain, checkpoints, counts, inspection, search, texts
from monitor.store.accounts import Accounts
from monitor.store.checkpoints import Link, StoredCheckpoint
from monitor.store.content import Content, columns, pack
from monitor.store.cursors import Cursors
from monitor.store.database import connect, reading, scrub, writing
from monitor.store.inspection import Watch
from monitor.store.log import Log
from monitor.store.retention import Retention
from monitor.store.reviews import Reviews
from monitor.store.rows import Page, Query, StoredVerdict, Summary
from monitor.store.runs import Runs
from monitor.store.schema import contents, heartbeats, records, reviews, verdicts
from monitor.store.sealed import Home, content_row
from monitor.store.tallies import Tallies
from monitor.store.views import Views
from monitor.types import Trace, Verdict

#: Records read at a time; between two reads no transaction is open.
BATCH = 200
#: Likewise, of hashes alone.
LINKS = 5000
#: Likewise, of verdicts with their texts.
LIVE = 50
#: Nothing can stand before this; a forged record may stand before 0.
FIRST = -(2**63)


class Store:
    """An append-only log of verdicts and policies, with an index and erasable content.

    All methods block and may be called from any thread. What a `record_` method returned is on
    disk. Several processes may share a database. Every failure is a StoreError.
    """

    def __init__(self, engine: Engine, keys: Keyring | None = None) -> None:
        self._engine = engine
        #: What encrypts texts, and decrypts them; without any, texts are stored in the clear.
        self.keys = keys or Keyring()
        #: Threads queue here in turn; the database's own lock is for other processes.
        self._turn = threading.Lock()
        #: How many verdicts there are up to a record: what is counted of them never changes.
        self._counted: tuple[int, Summary | None] = (FIRST, None)
        #: What reviewers answered, and what waits for them.
        self.reviews = Reviews(self)
        #: Runs of re-scoring.
        self.runs = Runs(self)
        #: Who may come in.
        self.accounts = Accounts(self)
        #: How long texts are kept.
        self.retention = Retention(self)
        #: Counts over time.
        self.tallies = Tallies(self)
        #: Filters that people saved.
        self.views = Views(self)
        #: How far others have read the chain.
        self.cursors = Cursors(self)
        #: What happened besides verdicts, and where the chain stands.
        self.log = Log(self)

    @classmethod
    def open(
        cls,
        url: str = "sqlite:///subtext.db",
        *,
        must_exist: bool = False,
        keys: Keyring | None = None,
    ) -> Self:
        """Open the database, create or migrate its tables; `sqlite://` is one in memory."""
        return cls(connect(url, must_exist=must_exist), keys)

    def close(self) -> None:
        """Give the connections back; a database in memory is gone."""
        self._engine.dispose()

    @property
    def address(self) -> str:
        """Where the database is, without its password: an address can hold one in its query too."""
        return self._engine.url.set(query={}).render_as_string(hide_password=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that no other writer runs beside."""
        with self._turn, writing(self._engine) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that waits for no one."""
        with reading(self._engine) as connection:
            yield connection

    def scrub(self) -> None:
        """Leave no copy of what was deleted in the files of the database, as far as we can say."""
        scrub(self._engine)

    def record_verdict(self, verdict: Verdict, trace: Trace) -> AuditRecord:
        """Record a verdict about `trace`; for a known verdict id, return what was recorded."""
        return self.record_verdicts([(verdict, trace)])[0]

    def record_verdicts(
        self, pairs: Sequence[tuple[Verdict, Trace]], *, run: str | None = None
    ) -> tuple[AuditRecord, ...]:
        """Record all or none of these, in one transaction; `run` names a run of re-scoring."""
        packed = [pack(verdict, trace, run) for verdict, trace in pairs]
        with self._turn, writing(self._engine) as connection:
            return _record(connection, packed, self.keys)

    def record_policy(self, *, policy: str, version: str, created_at: str) -> AuditRecord:
        """Record which policy holds from now on, unless it is the one that already does."""
        body = {"policy": policy, "version": version}
        with self._turn, writing(self._engine) as connection:
            known = chain.last_policy(connection)
            if known is not None and known.body == body:
                return known
            return chain.append(connection, kind=Kind.POLICY, created_at=created_at, body=body)

    def verdicts(self, query: Query) -> Page:
        """List verdicts, newest first."""
        with reading(self._engine) as connection:
            return search.page(connection, query, self.keys)

    def verdict(self, verdict_id: str) -> StoredVerdict | None:
        """Return everything about one verdict; CorruptContent when its content was altered."""
        with reading(self._engine) as connection:
            return search.stored(connection, verdict_id, self.keys)

    def live(self, *, until: int) -> Iterator[StoredVerdict]:
        """Read, oldest first, the verdicts made with their responses whose text is still there.

        CorruptContent where a text was altered, Locked where its key is not here.
        """
        after = FIRST
        while True:
            with reading(self._engine) as connection:
                batch = search.live(connection, after, until, LIVE, self.keys)
            yield from batch
            if len(batch) < LIVE:
                return
            after = batch[-1].row.seq

    def summary(self) -> Summary:
        """Count the verdicts."""
        until, known = self._counted
        with reading(self._engine) as connection:
            newest = chain.last(connection)[0]
            if newest == until and known is not None:
                return known
            if known is None:
                until, known = counts.summary(connection)
            counted = known + search.summary(connection, until, newest)
        self._counted = (newest, counted)
        return counted

    def models(self) -> tuple[str, ...]:
        """Return the models that verdicts are about, as labels, in order."""
        with reading(self._engine) as connection:
            return search.models(connection)

    def beat(self) -> None:
        """Write something that means nothing: raises when nothing can be written."""
        with self._turn, writing(self._engine) as connection:
            if connection.execute(_beat).rowcount == 0:
                connection.execute(insert(heartbeats).values(number=0, beats=1))

    def has_encrypted(self) -> bool:
        """Tell whether any text is encrypted."""
        with reading(self._engine) as connection:
            found = (connection.execute(wanted).first() for wanted in _encrypted)
            return any(row is not None for row in found)

    def newest_seq(self) -> int:
        """Return the number of the newest record; -1 when there is none."""
        with reading(self._engine) as connection:
            return chain.last(connection)[0]

    def records(self, start: int = 0) -> Iterator[AuditRecord]:
        """Read the chain in order, from record `start`; from 0, whatever stands before it too."""
        return map(chain.record_of, self._stream(select(records), start or FIRST))

    def links(self, start: int = 0) -> Iterator[Link]:
        """Read the hashes of the chain in order, from record `start`."""
        while True:
            with reading(self._engine) as connection:
                batch = checkpoints.links(connection, start, LINKS)
            yield from batch
            if len(batch) < LINKS:
                return
            start = batch[-1].seq + 1

    def newest_checkpoint(self) -> StoredCheckpoint | None:
        """Return the checkpoint that covers most records."""
        with reading(self._engine) as connection:
            return checkpoints.newest(connection)

    def checkpoints(self, *, after: int = FIRST) -> Iterator[StoredCheckpoint]:
        """Read the checkpoints, by the number of records that they cover, if more than `after`."""
        size = after
        while True:
            with reading(self._engine) as connection:
                batch = checkpoints.after(connection, size, BATCH)
            yield from batch
            if len(batch) < BATCH:
                return
            size = batch[-1].size

    def record_checkpoint(self, checkpoint: StoredCheckpoint, *, following: int | None) -> bool:
        """Store what follows the checkpoint of this size; False when another process was first."""
        with self._turn, writing(self._engine) as connection:
            return checkpoints.add(connection, checkpoint, following=following)

    def audit(
        self,
        *,
        expect_size: int | None = None,
        expect_head: str | None = None,
        watch: Watch = iter,
    ) -> Report:
        """Verify the chain and compare all that is stored with it.

        `expect_size` and `expect_head` are what was once known of the log: see `audit.verify`.
        `watch` is handed all records and hands them on: see `coverage.Coverage`.
        """
        report, erasures = inspection.inspect(
            self._stream(inspection.everything),
            expect_size=expect_size,
            expect_head=expect_head,
            keys=self.keys,
            watch=watch,
        )
        with reading(self._engine) as connection:
            more = inspection.afterwards(connection, erasures)
            return inspection.with_problems(report, more)

    def audit_chain(
        self,
        *,
        expect_size: int | None = None,
        expect_head: str | None = None,
        watch: Watch = iter,
    ) -> Report:
        """Verify the chain alone, several times as fast; see `audit`."""
        found = map(chain.unread, self._stream(select(records)))
        return verify(watch(found), expect_size=expect_size, expect_head=expect_head)

    def _stream(self, rows: Select[Any], start: int = FIRST) -> Iterator[Row[Any]]:
        wanted = rows.order_by(records.c.seq).limit(BATCH)
        while True:
            with reading(self._engine) as connection:
                batch = connection.execute(wanted.where(records.c.seq >= start)).all()
            yield from batch
            if len(batch) < BATCH:
                return
            start = batch[-1].seq + 1


# Built once: building a statement takes longer than running it.
_known = select(verdicts.c.verdict_id, verdicts.c.seq).where(
    verdicts.c.verdict_id.in_(bindparam("ids", expanding=True))
)
_insert_verdicts, _insert_contents = insert(verdicts), insert(contents)
_encrypted = (
    select(contents.c.seq).where(contents.c.key_id.is_not(None)).limit(1),
    select(reviews.c.seq).where(reviews.c.note_key_id.is_not(None)).limit(1),
)
_beat = update(heartbeats).values(beats=heartbeats.c.beats + 1)


class _New(NamedTuple):
    """A verdict that is not recorded yet: its content, and its searchable columns."""

    content: Content
    row: dict[str, Any]


def _record(
    connection: Connection, packed: Sequence[Content], keys: Keyring
) -> tuple[AuditRecord, ...]:
    rows = [_New(content, columns(content.body)) for content in packed]
    names = [new.row["verdict_id"] for new in rows]
    stored = connection.execute(_known, {"ids": names}).all()
    found = {name: chain.get(connection, seq) for name, seq in stored}
    fresh = {new.row["verdict_id"]: new for new in reversed(rows)}  # of equal ids the first counts
    added = [fresh[name] for name in dict.fromkeys(names) if name not in found]
    bodies = [(new.row["created_at"], new.content.body) for new in added]
    records = chain.append_all(connection, kind=Kind.VERDICT, bodies=bodies)
    if added:
        _add(connection, list(zip(added, records, strict=True)), keys)
    found |= {new.row["verdict_id"]: r for new, r in zip(added, records, strict=True)}
    return tuple(found[name] for name in names)


def _add(connection: Connection, added: Sequence[tuple[_New, AuditRecord]], keys: Keyring) -> None:
    """Fill the index of the verdicts that these records are about, and store their texts."""
    connection.execute(_insert_verdicts, [{"seq": record.seq, **new.row} for new, record in added])
    stored = [
        {
            "seq": record.seq,
            **content_row(new.content, Home(new.row["verdict_id"], new.row["tenant"]), keys),
        }
        for new, record in added
    ]
    connection.execute(_insert_contents, stored)
    plain = [
        (record.seq, new.content.words)
        for (new, record), text in zip(added, stored, strict=True)
        if text["key_id"] is None
    ]
    texts.put(connection, plain)
