"""Erasing texts. Their hashes stay in the chain, which says who erased what, when and why."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, select, update

from monitor.audit import AuditRecord, Kind
from monitor.sealing import Keyring
from monitor.store import chain, renewal
from monitor.store import texts as index
from monitor.store.erasures import ERASED, runs_of
from monitor.store.renewal import Renewed
from monitor.store.rows import Query
from monitor.store.schema import contents, records, reviews, verdicts
from monitor.store.search import conditions, of_any_run

#: Verdicts whose texts are erased in one transaction, so that writers need not wait long.
BATCH = 500
#: What a record says of itself when it holds the rules.
RULES = "rules"
#: And when texts were put under other keys.
ENCRYPTED = "encrypted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How much was erased, or would be."""

    #: Verdicts that lose their text.
    texts: int = 0
    #: Reviews that lose their note.
    notes: int = 0

    def __add__(self, other: "Erased") -> "Erased":
        return Erased(texts=self.texts + other.texts, notes=self.notes + other.notes)


class Turns(Protocol):
    """How the store opens transactions."""

    @property
    def keys(self) -> Keyring:
        """What encrypts and decrypts texts."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that no other writer runs beside."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a transaction that waits for no one."""
        ...

    def scrub(self) -> None:
        """Leave no copy of what was deleted."""
        ...


class Retention:
    """Erases texts of traces, and the notes about them, which may quote them.

    A query without a run is about all verdicts that fit, whether made live or by re-scoring; what
    re-scoring kept of a trace goes with it. All methods block and may be called from any thread.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def record_rules(self, rules: Sequence[str], *, at: str) -> None:
        """Record for how long texts are kept, unless the chain says so already."""
        body = {"act": RULES, "rules": list(rules)}
        with self._turns.writing() as connection:
            known = next((r.body for r in _told(connection) if r.body.get("act") == RULES), None)
            if body["rules"] != ([] if known is None else known["rules"]):
                chain.append(connection, kind=Kind.RETENTION, created_at=at, body=body)

    def count(self, query: Query) -> Erased:
        """Count what `erase` would erase, without erasing it."""
        texts: set[int] = set()
        notes: set[int] = set()
        after = -1
        while True:
            with self._turns.reading() as connection:
                picked = _pick(connection, query, after)
                found = _found(connection, picked)
            texts.update(found[0])
            notes.update(found[1])
            if len(picked) < BATCH:
                return Erased(texts=len(texts), notes=len(notes))
            after = picked[-1]

    def erase(self, query: Query, *, by: str, reason: str, at: str) -> Erased:
        """Erase what fits, and record it; what was erased before an error stays so."""
        total, after = Erased(), -1
        about = {"act": ERASED, "by": by, "reason": reason}
        while True:
            with self._turns.reading() as connection:
                picked = _pick(connection, query, after)
            if picked:
                with self._turns.writing() as connection:
                    total += _erase(connection, picked, about, at)
            if len(picked) < BATCH:
                break
            after = picked[-1]
        if total != Erased():
            self._turns.scrub()
        return total

    def renew(self, *, by: str, at: str) -> Renewed:
        """Store every text and note as it would be stored now, and record that keys changed.

        What was done before an error stays so; to begin anew is safe.
        """
        total = self._renewed(renewal.batch, renewal.renew)
        total += self._renewed(renewal.notes, renewal.renew_note)
        if total.encrypted:
            body = {"act": ENCRYPTED, "by": by, "texts": total.encrypted}
            with self._turns.writing() as connection:
                chain.append(connection, kind=Kind.RETENTION, created_at=at, body=body)
            self._turns.scrub()
        return total

    def _renewed(
        self,
        batch: Callable[[Connection, int], Sequence[Row[Any]]],
        renew: Callable[[Connection, Row[Any], Keyring], Renewed],
    ) -> Renewed:
        total, after = Renewed(), -1
        while True:
            with self._turns.writing() as connection:
                rows = batch(connection, after)
                for row in rows:
                    total += renew(connection, row, self._turns.keys)
            if not rows:
                return total
            after = rows[-1].seq

    def history(self) -> Iterator[AuditRecord]:
        """Read what was erased or encrypted and which rules held, newest first."""
        with self._turns.reading() as connection:
            found = list(_told(connection))
        return iter(found)


def _told(connection: Connection) -> Iterator[AuditRecord]:
    wanted = select(records).where(chain.IS_RETENTION).order_by(records.c.seq.desc())
    return map(chain.record_of, connection.execute(wanted))


def _pick(connection: Connection, query: Query, after: int) -> list[int]:
    """The next verdicts that fit and have something to erase, in order."""
    fitting = list(of_any_run(query) if query.run is None else conditions(query))
    with_text = select(verdicts.c.seq).join_from(
        verdicts, contents, contents.c.seq == verdicts.c.seq
    )
    with_note = select(verdicts.c.seq).join_from(verdicts, reviews, _about).where(_noted)
    texts = _next(connection, with_text.where(*fitting), after)
    notes = _next(connection, with_note.where(*fitting).distinct(), after)
    return sorted({*texts, *notes})[:BATCH]


def _next(connection: Connection, wanted: Select[int], after: int) -> list[int]:
    page = wanted.where(verdicts.c.seq > after).order_by(verdicts.c.seq).limit(BATCH)
    return list(connection.execute(page).scalars())


_about = reviews.c.verdict_seq == verdicts.c.seq
_noted: ColumnElement[bool] = reviews.c.note != ""


def _found(connection: Connection, picked: Sequence[int]) -> tuple[list[int], list[int]]:
    """What there is to erase of these verdicts and of what re-scoring kept of their traces."""
    again, own = verdicts.alias("again"), verdicts.c.seq.in_(picked)
    same = (again.c.trace_id == verdicts.c.trace_id) & (again.c.tenant == verdicts.c.tenant)
    copies = (
        select(again.c.seq)
        .join_from(verdicts, again, same)
        .where(own, verdicts.c.run.is_(None), again.c.run.is_not(None))
    )
    all_of_them = {*picked, *connection.execute(copies).scalars()}
    texts = select(contents.c.seq).where(contents.c.seq.in_(all_of_them))
    notes = select(reviews.c.seq).where(reviews.c.verdict_seq.in_(all_of_them), _noted)
    return list(connection.execute(texts).scalars()), list(connection.execute(notes).scalars())


def _erase(connection: Connection, picked: Sequence[int], about: dict[str, str], at: str) -> Erased:
    texts, notes = _found(connection, picked)
    if not texts and not notes:
        return Erased()  # another process was first
    connection.execute(delete(contents).where(contents.c.seq.in_(texts)))
    index.drop(connection, texts)
    connection.execute(
        update(reviews).where(reviews.c.seq.in_(notes)).values(note=None, note_key_id=None)
    )
    body = {**about, "texts": runs_of(texts), "notes": runs_of(notes)}
    chain.append(connection, kind=Kind.RETENTION, created_at=at, body=body)
    return Erased(texts=len(texts), notes=len(notes))
