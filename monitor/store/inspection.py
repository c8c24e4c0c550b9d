"""The audit of a store: the chain, and everything that repeats parts of it or hangs on it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, select

from monitor.audit import MAX_PROBLEMS, AuditRecord, Kind, Problem, Report, canonical, verify
from monitor.store import reviews as desk
from monitor.store.chain import record_of
from monitor.store.content import columns, excerpt, note_hash, review_columns, unpack
from monitor.store.errors import CorruptContent
from monitor.store.schema import contents, records, reviews, verdicts

#: Every record with its verdict row, its content and its review, under prefixed names.
everything = (
    select(
        records,
        *(column.label(f"verdict_{column.name}") for column in verdicts.c),
        *(column.label(f"content_{column.name}") for column in contents.c),
        *(column.label(f"answer_{column.name}") for column in reviews.c),
    )
    .outerjoin_from(records, verdicts, verdicts.c.seq == records.c.seq)
    .outerjoin(contents, contents.c.seq == records.c.seq)
    .outerjoin(reviews, reviews.c.seq == records.c.seq)
)


#: Sees the records of the chain pass.
Watch = Callable[[Iterable[AuditRecord]], Iterator[AuditRecord]]


def inspect(
    rows: Iterable[Row[Any]],
    *,
    expect_size: int | None,
    expect_head: str | None,
    watch: Watch = iter,
) -> Report:
    """Verify the chain in `rows` of `everything` and compare the rest of each row with it."""
    beside: list[Problem] = []
    erased = 0

    def chain() -> Iterator[AuditRecord]:
        nonlocal erased
        for row in rows:
            record = record_of(row)
            beside.extend(Problem(seq=record.seq, what=what) for what in _misfits(record, row))
            del beside[MAX_PROBLEMS:]
            erased += row.verdict_seq is not None and row.content_seq is None
            yield record

    report = verify(watch(chain()), expect_size=expect_size, expect_head=expect_head)
    return with_problems(replace(report, erased=erased), beside)


def with_problems(report: Report, found: Iterable[Problem]) -> Report:
    """Return the report with more problems, in the order of the log."""
    problems = sorted((*report.problems, *found), key=lambda problem: problem.seq)
    return replace(report, problems=tuple(problems[:MAX_PROBLEMS]))


def orphans(connection: Connection) -> Iterator[Problem]:
    """Find rows that belong to no record, and verdicts that do not say how they were answered."""
    for seq, what in islice(desk.misfits(connection), MAX_PROBLEMS):
        yield Problem(seq=seq, what=what)
    for table in (verdicts, contents, reviews):
        alone = select(table.c.seq).where(table.c.seq.not_in(select(records.c.seq)))
        for seq in connection.execute(alone.limit(MAX_PROBLEMS)).scalars():
            yield Problem(seq=seq, what=f"stands in {table.name}, but not in the chain")


def _misfits(record: AuditRecord, row: Row[Any]) -> list[str]:
    try:
        if canonical(record.body).decode("ascii") != row.body:
            return ["its body was altered"]
        return list(_beside_misfits(record, row))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ["cannot be compared with its verdict row, content or review"]


def _beside_misfits(record: AuditRecord, row: Row[Any]) -> Iterator[str]:
    if record.kind == Kind.VERDICT:
        yield from _row_misfits(record, row)
        yield from _content_misfits(record, row)
    elif (row.verdict_seq, row.content_seq) != (None, None):
        yield "has a verdict row or content, but is no verdict"
    if record.kind == Kind.REVIEW:
        yield from _review_misfits(record, row)
    elif row.answer_seq is not None:
        yield "has a row of reviews, but is no review"


def _review_misfits(record: AuditRecord, row: Row[Any]) -> Iterator[str]:
    if row.answer_seq is None:
        yield "its row of reviews is missing"
        return
    expected = {**review_columns(record.body), "created_at": record.created_at}
    for name, value in expected.items():
        if getattr(row, f"answer_{name}") != value:
            yield f"its row of reviews was altered: {name}"
    if row.answer_note is not None and note_hash(row.answer_note) != record.body["note_sha256"]:
        yield "its note was altered"


def _row_misfits(record: AuditRecord, row: Row[Any]) -> Iterator[str]:
    if row.verdict_seq is None:
        yield "its verdict row is missing"
        return
    for name, value in columns(record.body).items():
        if getattr(row, f"verdict_{name}") != value:
            yield f"its verdict row was altered: {name}"


def _content_misfits(record: AuditRecord, row: Row[Any]) -> Iterator[str]:
    if row.content_seq is None:
        return
    try:
        trace, _ = unpack(record.body, row.content_data)
    except CorruptContent as error:
        yield str(error)
    else:
        if row.content_excerpt != excerpt(trace):
            yield "its excerpt was altered"
