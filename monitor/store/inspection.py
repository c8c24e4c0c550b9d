"""The audit of a store: the chain, and everything that repeats parts of it or hangs on it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, select

from monitor.audit import MAX_PROBLEMS, AuditRecord, Kind, Problem, Report, verify
from monitor.sealing import Keyring
from monitor.store import counts
from monitor.store import reviews as desk
from monitor.store.chain import record_of
from monitor.store.content import columns, excerpt_in, note_hash, review_columns
from monitor.store.erasures import Erasures, Ranges
from monitor.store.errors import CorruptContent, Locked
from monitor.store.schema import contents, records, reviews, verdicts
from monitor.store.sealed import Home, Text, data_of, excerpt_of, note_of

_about = verdicts.alias("about")
#: Every record with its verdict row, its content and its review, under prefixed names.
everything = (
    select(
        records,
        *(column.label(f"verdict_{column.name}") for column in verdicts.c),
        *(column.label(f"content_{column.name}") for column in contents.c),
        *(column.label(f"answer_{column.name}") for column in reviews.c),
        _about.c.verdict_id.label("about_verdict_id"),
        _about.c.tenant.label("about_tenant"),
    )
    .outerjoin_from(records, verdicts, verdicts.c.seq == records.c.seq)
    .outerjoin(contents, contents.c.seq == records.c.seq)
    .outerjoin(reviews, reviews.c.seq == records.c.seq)
    .outerjoin(_about, _about.c.seq == reviews.c.verdict_seq)
)


#: Sees the records of the chain pass.
Watch = Callable[[Iterable[AuditRecord]], Iterator[AuditRecord]]


def inspect(
    rows: Iterable[Row[Any]],
    *,
    expect_size: int | None,
    expect_head: str | None,
    keys: Keyring,
    watch: Watch = iter,
) -> tuple[Report, Erasures]:
    """Verify the chain in `rows` of `everything` and compare the rest of each row with it.

    Returns also what the rows say about erased texts.
    """
    erasures = Erasures()
    beside: list[Problem] = []
    erased = locked = 0

    def chain() -> Iterator[AuditRecord]:
        nonlocal erased, locked
        for row in rows:
            record = record_of(row)
            beside.extend(
                Problem(seq=record.seq, what=what) for what in _misfits(record, row, keys)
            )
            del beside[MAX_PROBLEMS:]
            erased += row.verdict_seq is not None and row.content_seq is None
            for key_id in (row.content_key_id, row.answer_note_key_id):
                locked += key_id is not None and key_id not in keys
            _notice(erasures, record, row)
            yield record

    report = verify(watch(chain()), expect_size=expect_size, expect_head=expect_head)
    return with_problems(replace(report, erased=erased, locked=locked), beside), erasures


def _notice(erasures: Erasures, record: AuditRecord, row: Row[Any]) -> None:
    """Remember what a record says was erased, and what is gone beside it."""
    erasures.hear(record)
    if row.verdict_seq is not None and row.content_seq is None:
        erasures.texts.add(row.seq, row.seq)
    if row.answer_seq is not None and row.answer_note is None:
        erasures.notes.add(row.seq, row.seq)


def with_problems(report: Report, found: Iterable[Problem]) -> Report:
    """Return the report with more problems, in the order of the log."""
    problems = sorted((*report.problems, *found), key=lambda problem: problem.seq)
    return replace(report, problems=tuple(problems[:MAX_PROBLEMS]))


def afterwards(connection: Connection, erasures: Erasures) -> Iterator[Problem]:
    """Find what no single record shows: rows of no record, answers and erasures that do not fit."""
    for found in (
        desk.misfits(connection),
        counts.misfits(connection),
        erasures.unexplained(),
        _not_erased(connection, contents.c.seq, erasures.told_texts),
        _not_erased(connection, reviews.c.seq, erasures.told_notes, reviews.c.note.is_not(None)),
    ):
        for seq, what in islice(found, MAX_PROBLEMS):
            yield Problem(seq=seq, what=what)
    yield from _orphans(connection)


def _not_erased(
    connection: Connection, seq: Column[int], told: Ranges, *there: ColumnElement[bool]
) -> Iterator[tuple[int, str]]:
    """Find what a record says was erased, now: a row that was read before may be gone by now."""
    for first, last in told.runs():
        wanted = select(seq).where(seq >= first, seq <= last, *there).limit(MAX_PROBLEMS)
        for found in connection.execute(wanted).scalars():
            yield found, "was erased, as a record says, and is there all the same"


def _orphans(connection: Connection) -> Iterator[Problem]:
    for table in (verdicts, contents, reviews):
        alone = select(table.c.seq).where(table.c.seq.not_in(select(records.c.seq)))
        for seq in connection.execute(alone.limit(MAX_PROBLEMS)).scalars():
            yield Problem(seq=seq, what=f"stands in {table.name}, but not in the chain")


def _misfits(record: AuditRecord, row: Row[Any], keys: Keyring) -> list[str]:
    try:
        return list(_beside_misfits(record, row, keys))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ["cannot be compared with its verdict row, content or review"]


def _beside_misfits(record: AuditRecord, row: Row[Any], keys: Keyring) -> Iterator[str]:
    if record.kind == Kind.VERDICT:
        yield from _row_misfits(record, row)
        yield from _content_misfits(record, row, keys)
    elif (row.verdict_seq, row.content_seq) != (None, None):
        yield "has a verdict row or content, but is no verdict"
    if record.kind == Kind.REVIEW:
        yield from _review_misfits(record, row, keys)
    elif row.answer_seq is not None:
        yield "has a row of reviews, but is no review"


def _review_misfits(record: AuditRecord, row: Row[Any], keys: Keyring) -> Iterator[str]:
    if row.answer_seq is None:
        yield "its row of reviews is missing"
        return
    expected = {**review_columns(record.body), "created_at": record.created_at}
    found = row._asdict()
    for name, value in expected.items():
        if found[f"answer_{name}"] != value:
            yield f"its row of reviews was altered: {name}"
    home = Home(row.about_verdict_id, row.about_tenant)
    try:
        note = note_of(row.answer_note_key_id, row.answer_note, row.answer_review_id, home, keys)
    except CorruptContent as error:
        yield str(error)
    except Locked:
        return  # counted
    else:
        if note is not None and note_hash(note) != record.body["note_sha256"]:
            yield "its note was altered"


def _row_misfits(record: AuditRecord, row: Row[Any]) -> Iterator[str]:
    if row.verdict_seq is None:
        yield "its verdict row is missing"
        return
    found = row._asdict()
    for name, value in columns(record.body).items():
        if found[f"verdict_{name}"] != value:
            yield f"its verdict row was altered: {name}"


def _content_misfits(record: AuditRecord, row: Row[Any], keys: Keyring) -> Iterator[str]:
    if row.content_seq is None:
        return
    home = Home(row.verdict_verdict_id, row.verdict_tenant)
    content = Text(row.content_key_id, row.content_excerpt, row.content_data)
    try:
        expected = excerpt_in(record.body, data_of(content, home, keys))
        words = excerpt_of(content, home, keys)
    except CorruptContent as error:
        yield str(error)
    except Locked:
        return  # counted
    else:
        if words != expected:
            yield "its excerpt was altered"
