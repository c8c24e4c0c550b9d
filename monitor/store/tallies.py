"""Counts over time: by hour, and over bounded stretches that an index holds in full."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Row, and_, bindparam, exists, func, or_, select

from monitor.store import chain, counts
from monitor.store.content import crossed
from monitor.store.counts import Hours
from monitor.store.reviews import Turns
from monitor.store.rows import Answered
from monitor.store.schema import records, reviews, verdicts
from monitor.store.search import outcome_of
from monitor.types import Check, Standing


class Tallies:
    """Counts verdicts. All methods block and may be called from any thread.

    Times are UTC, ISO 8601 with milliseconds and `Z`; a stretch holds its beginning, not its end.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def fold(self) -> bool:
        """Keep the counts of one more full piece of the chain; False when all are kept."""
        with self._turns.reading() as connection:
            known = counts.kept(connection)
            piece = next((p for p in range(counts.full(connection)) if p not in known), None)
            if piece is None:
                return False
            hours = counts.count(connection, piece)
        with self._turns.writing() as connection:
            counts.keep(connection, piece, hours)
        return True

    def pieces(self, first: int, since: str) -> Iterator[Hours]:
        """Return the counts of full pieces in order from one on; none of hours before `since`.

        Those in which all is older come empty.
        """
        with self._turns.reading() as connection:
            known, end = counts.kept(connection), counts.full(connection)
        for piece in range(first, end):
            if known.get(piece, since) < since:
                yield {}
                continue
            with self._turns.reading() as connection:
                yield counts.load(connection, piece)

    def rest(self, first: int) -> Hours:
        """Count what was recorded from a piece on."""
        with self._turns.reading() as connection:
            return counts.count(connection, first, onwards=True)

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
