"""Runs of re-scoring: what each came to, and what it changed.

Beside the chain, not in it: what the chain vouches for are the verdicts of a run.
A comparison is kept without the words that it quotes, so that erased text is not kept here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from monitor.comparison import Comparison
from monitor.store.content import label
from monitor.store.errors import Conflict, CorruptContent
from monitor.store.reviews import Turns
from monitor.store.schema import runs
from monitor.types import Decision

#: Runs that are listed at most.
LISTED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of re-scoring. Its verdicts are in the store, unless it only decided anew."""

    name: str
    #: UTC, ISO 8601 with milliseconds and `Z`.
    started_at: str
    #: None while it is under way, or was given up.
    finished_at: str | None = None
    #: Version of the policy; "" where the run is older than this table.
    policy: str = ""
    model: str = ""
    #: Name of the run whose scores it decided anew; None where it judged texts.
    scores_of: str | None = None
    #: Judged traces by decision; empty until it is finished.
    decisions: Mapping[Decision, int]
    #: Judged traces where a check failed.
    unscored: int = 0
    #: Records that could not be read.
    bad: int = 0
    #: What it was compared with, if it was; and how many decisions differ.
    compared_with: str | None = None
    flipped: int = 0

    @property
    def traces(self) -> int:
        """Judged traces."""
        return sum(self.decisions.values())


#: Columns of `Run`, but for its comparison, which is long.
_LISTED = [column for column in runs.c if column.name != "comparison"]


class Runs:
    """The runs of a store. All methods block and may be called from any thread."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def begin(
        self,
        name: str,
        *,
        started_at: str,
        policy: str,
        model: str,
        scores_of: str | None = None,
    ) -> None:
        """Note that a run has begun; one that was not finished goes on.

        Raises Conflict where another of this name is: what it came to stays.
        """
        with self._turns.writing() as connection:
            known = _row(connection, name)
            if known is None:
                whose = None if scores_of is None else label(scores_of)
                values = {"started_at": started_at, "policy": policy, "model": model}
                connection.execute(insert(runs).values(name=label(name), scores_of=whose, **values))
            elif _is_other(known, started_at, scores_of):
                raise Conflict(f"The store has another run {label(name)!r}: choose another name.")

    def finish(
        self, name: str, *, finished_at: str, decisions: Mapping[Decision, int], **counts: int
    ) -> None:
        """Note what a run came to: `counts` are `unscored` and `bad`."""
        counted = {_column(d): decisions.get(d, 0) for d in Decision}
        self._change(name, finished_at=finished_at, **counted, **counts)

    def compared(self, name: str, comparison: Comparison) -> None:
        """Keep what a run changed, in place of an earlier comparison."""
        told = replace(
            comparison, top=tuple(replace(flip, quote="") for flip in comparison.top)
        ).to_json()
        self._change(
            name,
            compared_with=label(comparison.before),
            flipped=comparison.flipped,
            comparison=json.dumps(told),
        )

    def newest(self) -> tuple[Run, ...]:
        """List runs, the one that began last first."""
        wanted = select(*_LISTED).order_by(runs.c.started_at.desc(), runs.c.name).limit(LISTED)
        with self._turns.reading() as connection:
            return tuple(_run(row) for row in connection.execute(wanted))

    def get(self, name: str) -> tuple[Run, Comparison | None] | None:
        """Return a run and what it changed, if it was compared with something."""
        with self._turns.reading() as connection:
            row = _row(connection, name)
        return None if row is None else (_run(row), _comparison(row.comparison))

    def _change(self, name: str, **values: object) -> None:
        with self._turns.writing() as connection:
            connection.execute(update(runs).where(runs.c.name == label(name)).values(**values))


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(runs).where(runs.c.name == label(name))).first()


def _is_other(known: Row[Any], started_at: str, scores_of: str | None) -> bool:
    """Whether a known run is finished already, or decides other scores, and not the one meant."""
    if known.started_at == started_at:
        return False
    return known.finished_at is not None or known.scores_of != scores_of


def _run(row: Row[Any]) -> Run:
    fields = {column.name: getattr(row, column.name) for column in _LISTED}
    counted = {d: fields.pop(_column(d)) for d in Decision}
    return Run(**fields, decisions={} if row.finished_at is None else counted)


def _column(decision: Decision) -> str:
    return f"{decision.name.lower()}s"


def _comparison(text: str | None) -> Comparison | None:
    if text is None:
        return None
    try:
        told = json.loads(text)
        return Comparison.from_json({k: v for k, v in told.items() if k != "flipped"})
    except (ValueError, AttributeError) as error:
        raise CorruptContent("the comparison of a run was altered") from error
