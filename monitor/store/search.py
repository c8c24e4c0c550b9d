"""Questions about verdicts, as SQL."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal, select, text

from monitor.sealing import Keyring
from monitor.store import chain, texts
from monitor.store.content import NO_POINTERS, label, unpack
from monitor.store.errors import CorruptContent, Locked
from monitor.store.rows import Page, Query, StoredVerdict, Summary, VerdictRow
from monitor.store.schema import (
    SCORE_STEPS,
    WAITING,
    contents,
    records,
    reviews,
    score_index,
    verdicts,
)
from monitor.store.sealed import Home, Text, data_of, excerpt_of
from monitor.types import Decision, Outcome, Standing

MAX_PAGE = 500
#: As text: with a type, SQLite would be asked whether it equals 1, and not know its index in that.
IS_WAITING = text(f"({WAITING})")
_COLUMNS = set(VerdictRow.__slots__) - {"locked"}

#: Verdicts as `row_of` reads them.
ROWS = select(verdicts, contents.c.excerpt, contents.c.key_id).outerjoin_from(verdicts, contents)

_everything = (
    select(verdicts, contents.c.excerpt, contents.c.data, contents.c.key_id, records.c.body)
    .join_from(verdicts, contents)
    .join(records, records.c.seq == verdicts.c.seq)
)


def page(connection: Connection, query: Query, keys: Keyring) -> Page:
    """Return the newest verdicts that fit the query."""
    limit = max(1, min(query.limit, MAX_PAGE))
    if query.text is not None and connection.dialect.name == "sqlite":
        wanted = _by_words(query, query.text)
    else:
        fitting = (*conditions(query), *_near(query))
        wanted = _hinted(query).where(*fitting).order_by(_newest_first(connection, query))
    wanted = wanted.limit(limit + 1)
    found = [row_of(row, keys) for row in connection.execute(wanted)]
    more = len(found) > limit
    return Page(rows=tuple(found[:limit]), next_before=found[limit - 1].seq if more else None)


def _by_words(query: Query, words: str) -> Select[Any]:
    """Let SQLite read its index of words from the newest text on, as far as a page needs."""
    rest = replace(query, text=None)
    wanted = ROWS.join(texts.index, verdicts.c.seq == texts.index.c.rowid + 0)
    if query.before is not None:
        wanted = wanted.where(texts.index.c.rowid < query.before)
    return wanted.where(texts.matches(words), *conditions(rest)).order_by(
        texts.index.c.rowid.desc()
    )


def _newest_first(connection: Connection, query: Query) -> ColumnElement[int]:
    """The order of a page; rare words are looked up before it, and not along it."""
    words = query.text
    rare = words is not None and not texts.common(connection, words, query.before)
    return (verdicts.c.seq + 0 if rare else verdicts.c.seq).desc()


def _hinted(query: Query) -> Select[Any]:
    """Tell SQLite, which keeps no statistics, that high probabilities are rare."""
    step = _step(query)
    narrower = query.conversation_id or query.run or query.verdict_ids or query.since or query.until
    if query.check is None or step is None or narrower:
        return ROWS
    name = score_index(query.check.value, step)
    return ROWS.with_hint(verdicts, f"INDEXED BY {name}", "sqlite")


def _step(query: Query) -> float | None:
    """The index of probabilities that has all that is asked for."""
    least = query.min_probability
    fitting = [step for step in SCORE_STEPS if least is not None and step <= least]
    return max(fitting, default=None)


def stored(connection: Connection, verdict_id: str, keys: Keyring) -> StoredVerdict | None:
    """Return one verdict; CorruptContent when its content is not what was stored."""
    found = connection.execute(ROWS.where(verdicts.c.verdict_id == label(verdict_id))).first()
    if found is None:
        return None
    row = row_of(found, keys)
    body = chain.get(connection, row.seq).body
    if "verdict" not in body:
        raise CorruptContent("the record of this verdict was altered")
    content = select(contents.c.data, contents.c.key_id).where(contents.c.seq == row.seq)
    found_text = connection.execute(content).first()
    if found_text is None or row.locked:
        return StoredVerdict(row=row, document={**body["verdict"], **NO_POINTERS}, trace=None)
    trace, pointers = unpack(
        body,
        data_of(
            Text(found_text.key_id, data=found_text.data), Home(row.verdict_id, row.tenant), keys
        ),
    )
    return StoredVerdict(row=row, document={**body["verdict"], **pointers}, trace=trace)


def live(
    connection: Connection, after: int, until: int, limit: int, keys: Keyring
) -> list[StoredVerdict]:
    """Return live verdicts whose text is there, oldest first, behind and up to these records."""
    wanted = (
        _everything.where(verdicts.c.run.is_(None), verdicts.c.seq > after, verdicts.c.seq <= until)
        .order_by(verdicts.c.seq)
        .limit(limit)
    )
    return [_stored(row, keys) for row in connection.execute(wanted)]


def _stored(row: Row[Any], keys: Keyring) -> StoredVerdict:
    body = chain.body_of(row.body)
    if "verdict" not in body:
        raise CorruptContent("the record of a verdict was altered")
    trace, pointers = unpack(
        body, data_of(Text(row.key_id, data=row.data), Home(row.verdict_id, row.tenant), keys)
    )
    document = {**body["verdict"], **pointers}
    return StoredVerdict(row=row_of(row, keys), document=document, trace=trace)


def summary(connection: Connection, after: int, until: int) -> Summary:
    """Count the verdicts behind and up to these records."""
    live = verdicts.c.run.is_(None) & (verdicts.c.seq > after) & (verdicts.c.seq <= until)
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
    """Return the models that verdicts are about, in order: from one to the next in the index."""
    after = verdicts.alias("after")
    first = select(func.min(verdicts.c.model).label("model")).cte("found", recursive=True)
    following = (
        select(func.min(after.c.model)).where(after.c.model > first.c.model).scalar_subquery()
    )
    found = first.union_all(select(following).where(first.c.model.is_not(None)))
    names = connection.execute(select(found.c.model)).scalars()
    return tuple(name for name in names if name is not None)


def conditions(query: Query) -> Iterator[ColumnElement[bool]]:
    """What a verdict must fulfil to fit the query."""
    yield verdicts.c.run.is_(None) if query.run is None else verdicts.c.run == label(query.run)
    yield from of_any_run(query)


def of_any_run(query: Query) -> Iterator[ColumnElement[bool]]:
    """Likewise, whether it was made when the response was or when that was judged again."""
    yield from _in_time(query)
    yield from _of_whom(query)
    yield from _decided(query)
    yield from _found(query)
    yield from _answered(query)


def _found(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.reviewer is not None:
        own = select(reviews.c.verdict_seq).where(reviews.c.reviewer == label(query.reviewer))
        yield verdicts.c.seq.in_(own)
    if query.text is not None:
        yield texts.has_words(query.text, query.before)


def _answered(query: Query) -> Iterator[Any]:
    if query.unanswered or query.standing is not None:
        yield IS_WAITING
    if query.unanswered:
        yield verdicts.c.review.is_(None)
    if query.standing is not None:
        yield verdicts.c.review == query.standing.value


def _in_time(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.before is not None:
        yield verdicts.c.seq < query.before
    # As a value of its own, so that no index is chosen for it that would have to be sorted.
    made = verdicts.c.created_at.concat("")
    if query.since is not None:
        yield made >= query.since
    if query.until is not None:
        yield made < query.until


def _near(query: Query) -> Iterator[ColumnElement[bool]]:
    """Between which records a time lies: they are almost in its order, and pages are in theirs."""
    whole = [verdicts.c.created_at >= query.since] if query.since is not None else []
    whole += [verdicts.c.created_at < query.until] if query.until is not None else []
    seq = verdicts.c.seq + 0  # read from the index on times, and not from the end of all records
    if query.since is not None:
        yield verdicts.c.seq >= select(func.min(seq)).where(*whole).scalar_subquery()
    if query.until is not None:
        yield verdicts.c.seq <= select(func.max(seq)).where(*whole).scalar_subquery()


def _of_whom(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.verdict_ids:
        yield verdicts.c.verdict_id.in_(map(label, query.verdict_ids))
    if query.except_tenants:
        yield verdicts.c.tenant.not_in(query.except_tenants)
    for name in ("model", "tenant", "conversation_id"):
        if (wanted := getattr(query, name)) is not None:
            yield verdicts.c[name] == wanted
    if query.conversation_id:  # as the index on conversations has it
        yield verdicts.c.conversation_id != literal("", literal_execute=True)


def _decided(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.decision is not None:
        yield verdicts.c.decision == query.decision.value
    if query.unscored is not None:
        yield verdicts.c.unscored.is_not(None) if query.unscored else verdicts.c.unscored.is_(None)
    if query.gaps is not None:
        yield verdicts.c.coverage_gaps != "" if query.gaps else verdicts.c.coverage_gaps == ""
    step = _step(query)
    if query.check is not None and step is not None:  # as the index has it
        yield verdicts.c[query.check.value] >= literal(step, literal_execute=True)
    if query.check is not None and query.min_probability is not None:
        yield verdicts.c[query.check.value] >= query.min_probability
    if query.check is not None and query.max_probability is not None:
        yield verdicts.c[query.check.value] < query.max_probability


def row_of(row: Row[Any], keys: Keyring) -> VerdictRow:
    """Read a row of `ROWS`; CorruptContent when it holds what nobody writes."""
    fields = {name: getattr(row, name) for name in _COLUMNS}
    try:
        fields["excerpt"] = excerpt_of(
            Text(row.key_id, row.excerpt), Home(row.verdict_id, row.tenant), keys
        )
    except Locked:
        fields |= {"excerpt": "", "locked": True}
    fields["review"] = None if row.review is None else standing_of(row.review)
    return VerdictRow(**{**fields, "decision": decision_of(row.decision)})


def outcome_of(value: str) -> Outcome:
    """Read what a column says of a review."""
    try:
        return Outcome(value)
    except ValueError as error:
        raise CorruptContent(f"{value!r} stands in place of the outcome of a review") from error


def standing_of(value: str) -> Standing:
    """Read what a column says of where a verdict stands."""
    try:
        return Standing(value)
    except ValueError as error:
        raise CorruptContent(f"{value!r} stands in place of the outcome of a review") from error


def decision_of(value: int) -> Decision:
    """Read what a column says of a decision."""
    try:
        return Decision(value)
    except ValueError as error:
        raise CorruptContent(f"{value!r} stands in a verdict row in place of a decision") from error
