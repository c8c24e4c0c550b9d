"""Answers as opinions: what was said of a verdict so far, and by pairs of people."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Row, literal, select

from monitor.opinions import Opinion, left_at, meant, refusal
from monitor.store import chain
from monitor.store.content import crossed
from monitor.store.errors import Conflict
from monitor.store.rows import Pair, Reading
from monitor.store.schema import records, reviews
from monitor.store.search import outcome_of, standing_of
from monitor.types import Check, Review, Standing

#: Answers, with the record of their verdict.
_opinions = select(
    reviews.c.verdict_seq,
    reviews.c.reviewer,
    reviews.c.outcome,
    reviews.c.standing,
    *(reviews.c[check.value] for check in Check),
    records.c.body,
).join_from(reviews, records, records.c.seq == reviews.c.verdict_seq)
#: As the index on them has it.
_asked = reviews.c.standing == literal(Standing.SECOND.value, literal_execute=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """A verdict and what was answered so far."""

    history: Sequence[Opinion]
    #: Checks that the verdict is for.
    crossed: frozenset[Check]

    def refuse(self, reviewer: str, *, settles: bool) -> None:
        """Raise Conflict when this person may not answer next."""
        reason = refusal(self.history, reviewer, settles=settles)
        if reason is not None:
            raise Conflict(reason)

    def after(self, review: Review, *, second: bool) -> Standing:
        """Return where an answer leaves the verdict."""
        meaning = meant(review.outcome, review.labels, self.crossed)
        return left_at(self.history, review.outcome, meaning, second=second)


def so_far(connection: Connection, seq: int) -> SoFar:
    """Read what was answered to the verdict of this record."""
    wanted = _opinions.where(reviews.c.verdict_seq == seq).order_by(reviews.c.seq)
    rows: list[Row[Any]] = list(connection.execute(wanted))
    about = crossed(chain.get(connection, seq).body)
    return SoFar(history=tuple(map(_opinion, rows)), crossed=about)


def pairs(connection: Connection, limit: int) -> tuple[Pair, ...]:
    """Return the newest verdicts that two people answered without knowing of each other."""
    asked = select(reviews.c.verdict_seq).where(_asked).order_by(reviews.c.verdict_seq.desc())
    chosen = asked.limit(limit).subquery()
    wanted = _opinions.where(reviews.c.verdict_seq.in_(select(chosen.c.verdict_seq))).order_by(
        reviews.c.verdict_seq.desc(), reviews.c.seq
    )
    rows: list[Row[Any]] = list(connection.execute(wanted))
    return tuple(
        Pair(first=_reading(first), second=_reading(second))
        for first, second in pairwise(rows)
        if first.standing == Standing.SECOND.value and first.verdict_seq == second.verdict_seq
    )


def said(row: Row[Any]) -> dict[Check, bool]:
    """Return what an answer says of checks."""
    found = {check: getattr(row, check.value) for check in Check}
    return {check: bool(value) for check, value in found.items() if value is not None}


def _opinion(row: Row[Any]) -> Opinion:
    read = _reading(row)
    return Opinion(
        reviewer=read.reviewer,
        outcome=read.outcome,
        meaning=read.meaning,
        standing=standing_of(row.standing),
    )


def _reading(row: Row[Any]) -> Reading:
    outcome = outcome_of(row.outcome)
    meaning = meant(outcome, said(row), crossed(chain.body_of(row.body)))
    return Reading(reviewer=row.reviewer, outcome=outcome, meaning=meaning)
