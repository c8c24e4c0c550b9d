"""Counts over time, each over a bounded stretch that an index holds in full."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    cast,
    exists,
    func,
    or_,
    select,
)

from monitor.store import chain
from monitor.store.content import crossed
from monitor.store.reviews import Turns
from monitor.store.rows import Answered
from monitor.store.schema import records, reviews, verdicts
from monitor.store.search import decision_of, outcome_of
from monitor.types import Check, Decision, Standing

#: Steps in which scores are counted: 0.001.
STEPS = 1000
#: Models counted apart in one stretch; the rest share a name.
MAX_MODELS = 30
OTHER_MODELS = "(others)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Verdicts of one stretch that are alike."""

    model: str
    decision: Decision
    #: A check could not be made.
    unscored: bool
    failed_open: bool
    #: As in `VerdictRow.coverage_gaps`.
    gaps: str
    count: int
    #: How many of them reached the flag threshold that was asked for, by check.
    over: Mapping[Check, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was judged in a stretch of time; verdicts of re-scoring runs left out."""

    cells: tuple[Cell, ...]
    #: Verdicts by score in steps of 1/`STEPS`, rounded down; by check.
    scores: Mapping[Check, Mapping[int, int]]


class Tallies:
    """Counts verdicts. All methods block and may be called from any thread.

    Times are UTC, ISO 8601 with milliseconds and `Z`; a stretch holds its beginning, not its end.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def tally(self, since: str, until: str, flags: Mapping[Check, float]) -> Tally:
        """Count a stretch; `flags` says from which score a check counts as over."""
        stretch = {"since": since, "until": until}
        limits = {check.value: flags[check] for check in Check}
        with self._turns.reading() as connection:
            rows = connection.execute(_cells, {**stretch, **limits}).all()
            return Tally(
                cells=_named(rows),
                scores={c: _scores(connection, c, stretch) for c in Check},
            )

    def first(self) -> str | None:
        """Return when the oldest verdict was made; None without any."""
        with self._turns.reading() as connection:
            return connection.execute(_first).scalar_one_or_none()

    def reaching(self, since: str, until: str, limits: Mapping[Check, float]) -> int:
        """Count the verdicts of a stretch of which any check reached its limit."""
        any_over = or_(*(verdicts.c[check.value] >= limit for check, limit in limits.items()))
        wanted = select(func.count()).where(_live, any_over)
        with self._turns.reading() as connection:
            stretch = {"since": since, "until": until}
            return int(connection.execute(wanted, stretch).scalar_one())

    def answered(self, limit: int) -> tuple[Answered, ...]:
        """Return verdicts with their newest answers, the newest of those first; no runs.

        What waits for another person's opinion is left out.
        """
        with self._turns.reading() as connection:
            rows: list[Row[Any]] = list(connection.execute(_answers.limit(limit)))
        return tuple(map(_answered, rows))

    def failed_open(self, since: str, until: str, limit: int) -> tuple[str, ...]:
        """Return the newest verdicts of a stretch by which something passed unjudged."""
        wanted = (
            select(verdicts.c.verdict_id)
            .where(_live, verdicts.c.failed_open)
            .order_by(verdicts.c.created_at.desc())
            .limit(limit)
        )
        with self._turns.reading() as connection:
            stretch = {"since": since, "until": until}
            return tuple(connection.execute(wanted, stretch).scalars())


# Built once: building a statement takes longer than running it.
_times = verdicts.c.created_at
_live = and_(verdicts.c.run.is_(None), _times >= bindparam("since"), _times < bindparam("until"))
_first = select(_times).where(verdicts.c.run.is_(None)).order_by(_times).limit(1)
_alike = (
    verdicts.c.model,
    verdicts.c.decision,
    verdicts.c.unscored.is_not(None).label("unscored"),
    verdicts.c.failed_open,
    verdicts.c.coverage_gaps.label("gaps"),
)
_over = (
    func.count().filter(verdicts.c[check.value] >= bindparam(check.value)).label(check.value)
    for check in Check
)
_cells = select(*_alike, func.count().label("n"), *_over).where(_live).group_by(*_alike)


_later = reviews.alias()
_answers = (
    select(
        reviews.c.outcome,
        *(reviews.c[check.value].label(f"said_{check.value}") for check in Check),
        *(verdicts.c[check.value] for check in Check),
        verdicts.c.created_at,
        records.c.body,
    )
    .join_from(reviews, verdicts, verdicts.c.seq == reviews.c.verdict_seq)
    .join(records, records.c.seq == verdicts.c.seq)
    .where(
        verdicts.c.run.is_(None),
        verdicts.c.review.not_in((Standing.SECOND.value, Standing.DISPUTE.value)),
        ~exists().where(
            _later.c.verdict_seq == reviews.c.verdict_seq, _later.c.seq > reviews.c.seq
        ),
    )
    .order_by(reviews.c.seq.desc())
)


def _answered(row: Row[Any]) -> Answered:
    scores = {check: getattr(row, check.value) for check in Check}
    said = {check: getattr(row, f"said_{check.value}") for check in Check}
    return Answered(
        created_at=row.created_at,
        scores={check: score for check, score in scores.items() if score is not None},
        crossed=crossed(chain.body_of(row.body)),
        outcome=outcome_of(row.outcome),
        said={check: label for check, label in said.items() if label is not None},
    )


def _by_score(check: Check) -> Select[int, int]:
    score = verdicts.c[check.value]
    step = cast(func.floor(score * STEPS), Integer).label("step")
    return select(step, func.count().label("n")).where(_live, score.is_not(None)).group_by("step")


_by_scores = {check: _by_score(check) for check in Check}


def _scores(connection: Connection, check: Check, stretch: Mapping[str, str]) -> dict[int, int]:
    rows = connection.execute(_by_scores[check], stretch).all()
    return {row.step: row.n for row in rows}


def _named(rows: Sequence[Row[Any]]) -> tuple[Cell, ...]:
    """Read rows of `_cells`. Names of models come from clients: only so many are told apart."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.model] += row.n
    named = {model for model, _ in counts.most_common(MAX_MODELS)}
    return tuple(_cell(row, row.model if row.model in named else OTHER_MODELS) for row in rows)


def _cell(row: Row[Any], model: str) -> Cell:
    return Cell(
        model=model,
        decision=decision_of(row.decision),
        unscored=bool(row.unscored),
        failed_open=bool(row.failed_open),
        gaps=row.gaps,
        count=row.n,
        over={check: getattr(row, check.value) for check in Check},
    )
