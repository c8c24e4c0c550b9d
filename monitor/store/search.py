"""Questions about verdicts, as SQL."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, literal, select

from monitor.store import chain
from monitor.store.content import NO_POINTERS, label, unpack
from monitor.store.errors import CorruptContent
from monitor.store.rows import Page, Query, StoredVerdict, Summary, VerdictRow
from monitor.store.schema import contents, records, verdicts
from monitor.types import Decision, Outcome

MAX_PAGE = 500

#: Verdicts as `row_of` reads them.
ROWS = select(verdicts, contents.c.excerpt).outerjoin_from(verdicts, contents)

_everything = (
    select(verdicts, contents.c.excerpt, contents.c.data, records.c.body)
    .join_from(verdicts, contents)
    .join(records, records.c.seq == verdicts.c.seq)
)


def page(connection: Connection, query: Query) -> Page:
    """Return the newest verdicts that fit the query."""
    limit = max(1, min(query.limit, MAX_PAGE))
    wanted = ROWS.where(*conditions(query)).order_by(verdicts.c.seq.desc()).limit(limit + 1)
    found = [row_of(row) for row in connection.execute(wanted)]
    more = len(found) > limit
    return Page(rows=tuple(found[:limit]), next_before=found[limit - 1].seq if more else None)


def stored(connection: Connection, verdict_id: str) -> StoredVerdict | None:
    """Return one verdict; CorruptContent when its content is not what was stored."""
    found = connection.execute(ROWS.where(verdicts.c.verdict_id == label(verdict_id))).first()
    if found is None:
        return None
    row = row_of(found)
    body = chain.get(connection, row.seq).body
    if "verdict" not in body:
        raise CorruptContent("the record of this verdict was altered")
    content = select(contents.c.data).where(contents.c.seq == row.seq)
    data = connection.execute(content).scalar_one_or_none()
    trace, pointers = (None, NO_POINTERS) if data is None else unpack(body, data)
    return StoredVerdict(row=row, document={**body["verdict"], **pointers}, trace=trace)


def live(connection: Connection, after: int, until: int, limit: int) -> list[StoredVerdict]:
    """Return live verdicts whose text is there, oldest first, behind and up to these records."""
    wanted = (
        _everything.where(verdicts.c.run.is_(None), verdicts.c.seq > after, verdicts.c.seq <= until)
        .order_by(verdicts.c.seq)
        .limit(limit)
    )
    return [_stored(row) for row in connection.execute(wanted)]


def _stored(row: Row[Any]) -> StoredVerdict:
    body = chain.body_of(row.body)
    if "verdict" not in body:
        raise CorruptContent("the record of a verdict was altered")
    trace, pointers = unpack(body, row.data)
    document = {**body["verdict"], **pointers}
    return StoredVerdict(row=row_of(row), document=document, trace=trace)


def summary(connection: Connection) -> Summary:
    """Count the verdicts."""
    live = verdicts.c.run.is_(None)
    counts = select(verdicts.c.decision, func.count()).where(live).group_by(verdicts.c.decision)
    found = {decision_of(d): n for d, n in connection.execute(counts)}
    gaps = select(func.count()).where(live, verdicts.c.coverage_gaps != "")
    unscored = select(func.count()).where(live, verdicts.c.unscored.is_not(None))
    return Summary(
        decisions={decision: found.get(decision, 0) for decision in Decision},
        unscored=connection.execute(unscored).scalar_one(),
        gaps=connection.execute(gaps).scalar_one(),
    )


def models(connection: Connection) -> tuple[str, ...]:
    """Return the models that verdicts are about, in order."""
    distinct = select(verdicts.c.model).distinct().order_by(verdicts.c.model)
    return tuple(connection.execute(distinct).scalars())


def conditions(query: Query) -> Iterator[ColumnElement[bool]]:
    """What a verdict must fulfil to fit the query."""
    yield verdicts.c.run.is_(None) if query.run is None else verdicts.c.run == label(query.run)
    if query.before is not None:
        yield verdicts.c.seq < query.before
    if query.decision is not None:
        yield verdicts.c.decision == query.decision.value
    if query.unscored is not None:
        yield verdicts.c.unscored.is_not(None) if query.unscored else verdicts.c.unscored.is_(None)
    if query.gaps is not None:
        yield verdicts.c.coverage_gaps != "" if query.gaps else verdicts.c.coverage_gaps == ""
    if query.check is not None and query.min_probability is not None:
        yield verdicts.c[query.check.value] >= query.min_probability
    for name in ("model", "tenant", "conversation_id"):
        if (wanted := getattr(query, name)) is not None:
            yield verdicts.c[name] == wanted
    if query.conversation_id:  # as the index on conversations has it
        yield verdicts.c.conversation_id != literal("", literal_execute=True)


def row_of(row: Row[Any]) -> VerdictRow:
    """Read a row of `ROWS`; CorruptContent when it holds what nobody writes."""
    fields = {name: getattr(row, name) for name in VerdictRow.__slots__}
    fields["review"] = None if row.review is None else outcome_of(row.review)
    return VerdictRow(**{**fields, "decision": decision_of(row.decision)})


def outcome_of(value: str) -> Outcome:
    """Read what a column says of a review."""
    try:
        return Outcome(value)
    except ValueError as error:
        raise CorruptContent(f"{value!r} stands in place of the outcome of a review") from error


def decision_of(value: int) -> Decision:
    """Read what a column says of a decision."""
    try:
        return Decision(value)
    except ValueError as error:
        raise CorruptContent(f"{value!r} stands in a verdict row in place of a decision") from error
