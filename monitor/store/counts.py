"""Verdicts counted by hour, one piece of the chain after the other.

What a full piece holds never changes, however late a verdict was recorded: it is counted once, and
the counts are kept. Only what follows the last full piece is counted at every look.
"""

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Connection, bindparam, func, insert, select

from monitor.audit import canonical
from monitor.store import chain
from monitor.store.errors import CorruptContent
from monitor.store.rows import Summary
from monitor.store.schema import counts, verdicts
from monitor.store.search import decision_of
from monitor.types import Check, Decision

#: Records in a piece.
PIECE = 2000
#: Steps in which scores are counted: 0.001.
STEPS = 1000
#: Models counted apart in a piece; the rest share a name.
MAX_MODELS = 30
OTHER_MODELS = "(others)"
#: Scores that were written as a multiple of a step count as that, whatever binary made of them.
_SLACK = 1e-9
#: Length of the beginning of a time that says which hour it is in.
HOUR_LENGTH = len("2026-01-01T00")

_COLUMNS = {Decision.ALLOW: "allows", Decision.FLAG: "flags", Decision.BLOCK: "blocks"}

#: Decision, whether a check could not be made, whether it failed open, gaps.
Alike: TypeAlias = tuple[int, bool, bool, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Verdicts about one model in one hour."""

    #: How many are alike.
    alike: Counter[Alike] = field(default_factory=Counter)
    #: The step of every score, in order; for each check.
    steps: tuple[list[int], ...] = field(default_factory=lambda: tuple([] for _ in Check))


#: By hour, as the beginning of its time, and by model: what was judged.
Hours: TypeAlias = Mapping[str, Mapping[str, Group]]


def step_of(score: float) -> int:
    """Return the step that a score is in."""
    return min(max(int(score * STEPS + _SLACK), 0), STEPS)


def full(connection: Connection) -> int:
    """Return how many pieces are full."""
    return (chain.last(connection)[0] + 1) // PIECE


def kept(connection: Connection) -> dict[int, str]:
    """Return which pieces are kept, and the newest hour in each."""
    return {row.piece: row.newest for row in connection.execute(_kept)}


def load(connection: Connection, piece: int) -> Hours:
    """Return a piece: as it is kept, else counted."""
    data = connection.execute(_data, {"piece": piece}).scalar_one_or_none()
    try:
        return count(connection, piece) if data is None else unpack(data)
    except (TypeError, ValueError, zlib.error):  # altered: the verifier says so
        return count(connection, piece)


def keep(connection: Connection, piece: int, hours: Hours) -> None:
    """Keep the counts of a full piece, unless another process did."""
    if connection.execute(_data, {"piece": piece}).first() is None:
        row = {"piece": piece, **_sums(hours), "data": zlib.compress(_plain(hours))}
        connection.execute(insert(counts), row)


def summary(connection: Connection) -> tuple[int, Summary]:
    """Return the last record up to which all is kept, and how many verdicts there are up to it."""
    row = connection.execute(_summed).one()
    whole = row.pieces > 0 and row.last == row.pieces - 1
    sums = row._asdict() if whole else dict.fromkeys(row._fields, 0)
    return sums["pieces"] * PIECE - 1, Summary(
        decisions={decision: int(sums[_COLUMNS[decision]]) for decision in Decision},
        unscored=int(sums["unscored"]),
        gaps=int(sums["gaps"]),
    )


def _sums(hours: Hours) -> dict[str, Any]:
    """Columns that say of all hours together what is asked most."""
    found = Counter(dict.fromkeys((*_COLUMNS.values(), "unscored", "gaps"), 0))
    for group in (group for models in hours.values() for group in models.values()):
        for (decision, unscored, _, gaps), number in group.alike.items():
            found[_COLUMNS[Decision(decision)]] += number
            found["unscored"] += unscored * number
            found["gaps"] += bool(gaps) * number
    return {"newest": max(hours, default=""), **found}


def count(connection: Connection, piece: int, *, onwards: bool = False) -> Hours:
    """Count the verdicts of a piece, or from it to the end; runs of re-scoring left out.

    CorruptContent when a decision is none.
    """
    wanted = _rows.where(verdicts.c.seq >= piece * PIECE)
    if not onwards:
        wanted = wanted.where(verdicts.c.seq < (piece + 1) * PIECE)
    rows = connection.execute(wanted).all()
    names = Counter(row[1] for row in rows)
    named = {model for model, _ in names.most_common(MAX_MODELS)}
    models: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows:
        models[row[0][:HOUR_LENGTH], row[1] if row[1] in named else OTHER_MODELS].append(row)
    hours: defaultdict[str, dict[str, Group]] = defaultdict(dict)
    for (hour, model), found in models.items():
        hours[hour][model] = _group(found)
    return hours


def _group(rows: Sequence[Any]) -> Group:
    columns = list(zip(*rows, strict=True))
    for decision in set(columns[2]):
        decision_of(decision)
    steps = (sorted(map(step_of, filter(_is_score, scores))) for scores in columns[-len(Check) :])
    return Group(Counter(zip(*columns[2:6], strict=True)), tuple(steps))


def _is_score(score: float | None) -> bool:
    return score is not None


def _plain(hours: Hours) -> bytes:
    """The same for the same counts."""
    return canonical(
        {
            hour: {m: [sorted(g.alike.items()), g.steps] for m, g in models.items()}
            for hour, models in hours.items()
        }
    )


def unpack(data: bytes) -> Hours:
    """Read counts."""
    told = json.loads(zlib.decompress(data))
    return {
        hour: {
            model: Group(Counter({tuple(alike): n for alike, n in cells}), tuple(steps))
            for model, (cells, steps) in models.items()
        }
        for hour, models in told.items()
    }


def misfits(connection: Connection) -> Iterator[tuple[int, str]]:
    """Find kept counts that are not those of the verdicts."""
    for piece in sorted(kept(connection)):
        row = connection.execute(select(counts).where(counts.c.piece == piece)).one()
        try:
            same = _says(row._asdict(), count(connection, piece))
        except CorruptContent:
            same = False
        if not same:
            last = (piece + 1) * PIECE - 1
            yield piece * PIECE, f"the counts of the verdicts up to record {last} were altered"


def _says(row: Mapping[str, Any], hours: Hours) -> bool:
    """Tell whether a row says what was counted; a column of SQLite can hold anything."""
    plain = _plain(hours)
    try:
        told = zlib.decompressobj().decompress(row["data"], len(plain) + 1)
    except (TypeError, zlib.error):
        return False
    return told == plain and all(row[name] == value for name, value in _sums(hours).items())


# Built once: building a statement takes longer than running it.
_kept = select(counts.c.piece, counts.c.newest)
_summed = select(
    func.count().label("pieces"),
    func.max(counts.c.piece).label("last"),
    *(func.sum(counts.c[name]).label(name) for name in (*_COLUMNS.values(), "unscored", "gaps")),
)
_data = select(counts.c.data).where(counts.c.piece == bindparam("piece"))
_rows = select(
    verdicts.c.created_at,
    verdicts.c.model,
    verdicts.c.decision,
    verdicts.c.unscored.is_not(None),
    verdicts.c.failed_open,
    verdicts.c.coverage_gaps,
    *(verdicts.c[check.value] for check in Check),
).where(verdicts.c.run.is_(None))
