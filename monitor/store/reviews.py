"""What reviewers answer, and who is at what: the desk at which people meet the verdicts."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from monitor.audit import AuditRecord, Kind
from monitor.sealing import Keyring
from monitor.store import answers, chain
from monitor.store.content import label, review_body, review_columns
from monitor.store.errors import Conflict, Locked
from monitor.store.rows import Backlog, Claim, Pair, Query, Queue, StoredReview, Task
from monitor.store.schema import claims, reviews, verdicts
from monitor.store.sealed import Home, note_of, note_row
from monitor.store.search import (
    IS_WAITING,
    ROWS,
    conditions,
    decision_of,
    outcome_of,
    row_of,
    standing_of,
)
from monitor.types import Decision, Outcome, Review, Standing

#: Verdicts read at a time; between two reads no transaction is open.
BATCH = 200
#: Ages told of what waits; when more wait, only the number of the rest is.
MAX_AGES = 10_000
#: Longest note, in characters.
MAX_NOTE = 4000

_unstorable = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_stands = verdicts.c.review
_for_leads = _stands.in_((Standing.ESCALATE.value, Standing.DISPUTE.value))
_urgency = case(
    (_for_leads, 3),
    (verdicts.c.decision == 2, 2),
    (verdicts.c.unscored.is_not(None), 1),
    else_=0,
)


class Turns(Protocol):
    """How the store opens transactions: writers one after the other, readers at any time."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks for work."""

    name: str
    #: May decide what was escalated; others are not offered it.
    settles: bool
    #: The time, as text that compares like time.
    now: str


class Reviews:
    """Reviews and claims. All methods block and may be called from any thread."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def record(
        self,
        review: Review,
        *,
        after: int,
        settles: bool = True,
        second: Callable[[Decision], bool] = lambda _: False,
    ) -> AuditRecord:
        """Record an answer to a verdict, which frees it; the same answer again is not repeated.

        `after` is the number of reviews that the reviewer knew of. Conflict when there are others
        by now, somebody else is at it, or it is for another person: see `monitor.opinions`.
        `second` is asked, of a first answer, whether another person is to give theirs.
        """
        clean = replace(review, note=_unstorable.sub("\ufffd", review.note)[:MAX_NOTE])
        with self._turns.writing() as connection:
            known = select(reviews.c.seq).where(reviews.c.review_id == label(review.review_id))
            seq = connection.execute(known).scalar_one_or_none()
            if seq is not None:
                return chain.get(connection, seq)
            row = _verdict(connection, review.verdict_id)
            desk = answers.so_far(connection, row.seq)
            if len(desk.history) != after:
                raise Conflict("somebody else has answered meanwhile: look again")
            desk.refuse(review.reviewer, settles=settles)
            _refuse_claimed(connection, row.seq, review.reviewer, review.created_at)
            asked = not desk.history and second(decision_of(row.decision))
            standing = desk.after(review, second=asked)
            return append(connection, row.seq, clean, standing, self._turns.keys)

    def of(self, verdict_id: str) -> tuple[StoredReview, ...]:
        """Return the answers to a verdict, oldest first."""
        wanted = (
            select(reviews, verdicts.c.verdict_id, verdicts.c.tenant)
            .join_from(reviews, verdicts, verdicts.c.seq == reviews.c.verdict_seq)
            .where(verdicts.c.verdict_id == label(verdict_id))
            .order_by(reviews.c.seq)
        )
        with self._turns.reading() as connection:
            return tuple(_stored(row, self._turns.keys) for row in connection.execute(wanted))

    def answered(self) -> Iterator[str]:
        """Read the ids of the verdicts that wait for nobody after an answer, oldest first."""
        settled = [standing.value for standing in Standing if standing.settled]
        wanted = select(verdicts.c.seq, verdicts.c.verdict_id).where(_stands.in_(settled))
        seq = -1
        while True:
            after = wanted.where(verdicts.c.seq > seq).order_by(verdicts.c.seq).limit(BATCH)
            with self._turns.reading() as connection:
                batch = connection.execute(after).all()
            yield from (row.verdict_id for row in batch)
            if len(batch) < BATCH:
                return
            seq = batch[-1].seq

    def undisclosed(self, seqs: Sequence[int]) -> frozenset[int]:
        """Return those of these records that are answers kept from who gives the second one."""
        second = Standing.SECOND.value
        wanted = (
            select(reviews.c.seq)
            .join_from(reviews, verdicts, verdicts.c.seq == reviews.c.verdict_seq)
            .where(reviews.c.seq.in_(seqs), reviews.c.standing == second, _stands == second)
        )
        with self._turns.reading() as connection:
            return frozenset(connection.execute(wanted).scalars())

    def pairs(self, limit: int) -> tuple[Pair, ...]:
        """Return the newest verdicts that two people answered without knowing of each other."""
        with self._turns.reading() as connection:
            return answers.pairs(connection, limit)

    def standing(self) -> dict[Standing, int]:
        """Count what waits for a person again after somebody answered."""
        counts = (
            select(_stands, func.count())
            .where(IS_WAITING, _stands.is_not(None), verdicts.c.run.is_(None))
            .group_by(_stands)
        )
        with self._turns.reading() as connection:
            return {standing_of(name): n for name, n in connection.execute(counts)}

    def queue(self, asker: Asker, query: Query) -> Queue:
        """Return what waits for a person and fits, most urgent first, then oldest first."""
        wanted = _tasks(asker, _waiting(query).limit(query.limit))
        count = select(func.count()).select_from(_waiting(query).order_by(None).subquery())
        with self._turns.reading() as connection:
            total = connection.execute(count).scalar_one()
            tasks = tuple(_task(row, self._turns.keys) for row in connection.execute(wanted))
        return Queue(tasks=tasks, total=total)

    def backlog(self) -> Backlog:
        """Return how much waits for a person, and since when."""
        waiting = _waiting(Query()).order_by(None)
        oldest = waiting.with_only_columns(verdicts.c.created_at).order_by(verdicts.c.seq)
        count = select(func.count()).select_from(waiting.subquery())
        with self._turns.reading() as connection:
            return Backlog(
                total=connection.execute(count).scalar_one(),
                since=tuple(connection.execute(oldest.limit(MAX_AGES)).scalars()),
            )

    def claim(self, verdict_id: str, asker: Asker, *, until: str) -> None:
        """Keep others from a verdict; Conflict when somebody is at it, or it is for others."""
        with self._turns.writing() as connection:
            seq = _verdict(connection, verdict_id).seq
            answers.so_far(connection, seq).refuse(asker.name, settles=asker.settles)
            _refuse_claimed(connection, seq, asker.name, asker.now)
            _put_claim(connection, seq, asker.name, until)

    def claim_next(self, asker: Asker, query: Query, *, until: str) -> str | None:
        """Claim the most urgent that nobody else is at; return its verdict id, None without any.

        What the asker escalated is for others. What he is at already comes first.
        """
        free = or_(claims.c.reviewer.is_(None), claims.c.reviewer == asker.name)
        wanted = (
            _waiting(query)
            .add_columns(verdicts.c.verdict_id)
            .outerjoin(claims, _held(asker))
            .where(free, _offered(asker))
            .order_by(None)
            .order_by(claims.c.reviewer.is_(None), _urgency.desc(), verdicts.c.seq)
            .limit(1)
        )
        with self._turns.writing() as connection:
            row = connection.execute(wanted).first()
            if row is None:
                return None
            _put_claim(connection, row.seq, asker.name, until)
            return str(row.verdict_id)

    def release(self, verdict_id: str, reviewer: str | None) -> None:
        """Let others at a verdict; nothing happens when `reviewer` is not at it. None: whoever."""
        with self._turns.writing() as connection:
            mine = delete(claims).where(
                claims.c.verdict_seq == _verdict(connection, verdict_id).seq
            )
            if reviewer is not None:
                mine = mine.where(claims.c.reviewer == reviewer)
            connection.execute(mine)

    def claimed(self, verdict_id: str, now: str) -> Claim | None:
        """Return who is at a verdict."""
        with self._turns.reading() as connection:
            return _claim(connection, _verdict(connection, verdict_id).seq, now)


def misfits(connection: Connection) -> Iterator[tuple[int, str]]:
    """Find verdicts whose column is not what their newest review says: they may miss the queue."""
    newest = (
        select(reviews.c.standing)
        .where(reviews.c.verdict_seq == verdicts.c.seq)
        .order_by(reviews.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    wrong = verdicts.c.review.is_distinct_from(newest)
    for seq in connection.execute(select(verdicts.c.seq).where(wrong)).scalars():
        yield seq, "its verdict row does not say what its newest review does"


def _waiting(query: Query) -> Select[int]:
    """Pick what waits and fits, most urgent first: keys alone, so that sorting them is cheap."""
    return (
        select(verdicts.c.seq)
        # Without statistics SQLite would rather read all verdicts of a model.
        .with_hint(verdicts, "INDEXED BY ix_verdicts_waiting", "sqlite")
        .where(IS_WAITING, *conditions(query))
        .order_by(_urgency.desc(), verdicts.c.seq)
    )


def _tasks(asker: Asker, picked: Select[int]) -> Any:  # noqa: ANN401 (too many columns to spell)
    return (
        ROWS.add_columns(claims.c.reviewer, claims.c.expires_at, _offered(asker).label("offered"))
        .outerjoin(claims, _held(asker))
        .where(verdicts.c.seq.in_(picked))
        .order_by(_urgency.desc(), verdicts.c.seq)
    )


def _held(asker: Asker) -> ColumnElement[bool]:
    return (claims.c.verdict_seq == verdicts.c.seq) & (claims.c.expires_at > asker.now)


def _offered(asker: Asker) -> ColumnElement[bool]:
    """What they may answer next, as `monitor.opinions` has it; not what they escalated."""
    mine = select(reviews.c.verdict_seq).where(reviews.c.reviewer == asker.name)
    escalated = mine.where(reviews.c.outcome == Outcome.ESCALATE.value)
    fresh, unread = _stands.is_(None), verdicts.c.seq.not_in(mine)
    offered = fresh | ((_stands == Standing.SECOND.value) & unread)
    if not asker.settles:
        return offered
    return (
        offered
        | ((_stands == Standing.DISPUTE.value) & unread)
        | ((_stands == Standing.ESCALATE.value) & verdicts.c.seq.not_in(escalated))
    )


def _task(row: Row[Any], keys: Keyring) -> Task:
    held = row.reviewer is not None
    claim = Claim(reviewer=row.reviewer, expires_at=row.expires_at) if held else None
    return Task(row=row_of(row, keys), claim=claim, offered=bool(row.offered))


def _verdict(connection: Connection, verdict_id: str) -> Row[int, int]:
    wanted = select(verdicts.c.seq, verdicts.c.decision).where(
        verdicts.c.verdict_id == label(verdict_id)
    )
    row = connection.execute(wanted).first()
    if row is None:
        raise Conflict("no verdict has this id")
    return row


def _refuse_claimed(connection: Connection, seq: int, reviewer: str, now: str) -> None:
    claim = _claim(connection, seq, now)
    if claim is not None and claim.reviewer != reviewer:
        raise Conflict("somebody else is at it")


def _claim(connection: Connection, seq: int, now: str) -> Claim | None:
    held = select(claims).where(claims.c.verdict_seq == seq, claims.c.expires_at > now)
    row = connection.execute(held).first()
    return None if row is None else Claim(reviewer=row.reviewer, expires_at=row.expires_at)


def _put_claim(connection: Connection, seq: int, reviewer: str, until: str) -> None:
    connection.execute(delete(claims).where(claims.c.verdict_seq == seq))
    row = {"verdict_seq": seq, "reviewer": reviewer, "expires_at": until}
    connection.execute(insert(claims), row)


def append(
    connection: Connection, verdict_seq: int, review: Review, standing: Standing, keys: Keyring
) -> AuditRecord:
    """Record an answer that may be given, and where it leaves the verdict."""
    record = chain.append(
        connection,
        kind=Kind.REVIEW,
        created_at=review.created_at,
        body=review_body(review, verdict_seq, standing),
    )
    row = {"seq": record.seq, "created_at": record.created_at, **review_columns(record.body)}
    about = select(verdicts.c.verdict_id, verdicts.c.tenant).where(verdicts.c.seq == verdict_seq)
    home = Home(*connection.execute(about).one())
    row |= note_row(review.note, row["review_id"], home, keys)
    connection.execute(insert(reviews), row)
    answered = update(verdicts).where(verdicts.c.seq == verdict_seq)
    connection.execute(answered.values(review=standing.value))
    connection.execute(delete(claims).where(claims.c.verdict_seq == verdict_seq))
    return record


def _stored(row: Row[Any], keys: Keyring) -> StoredReview:
    home, locked = Home(row.verdict_id, row.tenant), False
    try:
        note = note_of(row.note_key_id, row.note, row.review_id, home, keys)
    except Locked:
        note, locked = "", True
    review = Review(
        review_id=row.review_id,
        verdict_id=row.verdict_id,
        reviewer=row.reviewer,
        outcome=outcome_of(row.outcome),
        labels=answers.said(row),
        note=note or "",
        created_at=row.created_at,
    )
    standing = standing_of(row.standing)
    erased = row.note is None
    return StoredReview(seq=row.seq, review=review, erased=erased, locked=locked, standing=standing)
