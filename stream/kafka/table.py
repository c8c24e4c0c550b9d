"""Which traces are open, and which piece of which trace a message is. Pure.

One row per trace, from its first piece to its recorded verdict:

    piece                                | trace is     | outcome
    -------------------------------------|--------------|---------------------------------------
    number 0                             | unknown      | OPENED
    the next number                      | open         | CONTINUED
    a number that was seen               | open         | REPEATED: senders and brokers repeat
    any                                  | open, ended  | REPEATED
    a later number                       | open         | CONTINUED, with a problem: text is missing
    not 0                                | unknown      | OPENED, with a problem: likewise
    any                                  | decided      | REPEATED

A trace that opens without its beginning was either decided by another worker, whose record then
stands, or is not whole and cannot be judged.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from stream.kafka.port import Partition

#: Decided traces whose late pieces are known as such; older ones find their record in the store.
REMEMBERED = 100_000


class TraceKey(NamedTuple):
    """Names a trace among all that are sent."""

    trace_id: str
    choice: int


class Outcome(Enum):
    """What a piece did."""

    OPENED = auto()
    CONTINUED = auto()
    REPEATED = auto()


@dataclass(slots=True, kw_only=True)
class Row:
    """An open trace."""

    key: TraceKey
    partition: Partition
    #: Offset of its first message.
    first: int
    #: Number of the piece that comes next.
    number: int
    #: When its first and its newest piece were sent, in seconds.
    began: float
    heard: float
    ended: bool = False
    #: Why it cannot be judged, if so.
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a trace may stay open, in seconds; then it ends as it is, unjudged."""

    silence: float = 120.0
    total: float = 3600.0


class Table:
    """The open traces of one worker."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._rows: dict[TraceKey, Row] = {}
        self._decided: OrderedDict[TraceKey, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def row(self, key: TraceKey) -> Row | None:
        """The open trace with this key."""
        return self._rows.get(key)

    def take(  # noqa: PLR0913
        self,
        key: TraceKey,
        *,
        partition: Partition,
        offset: int,
        when: float,
        number: int,
        last: bool,
    ) -> Outcome:
        """Note a piece; `number` counts the pieces of a trace from 0, `last` ends it."""
        row = self._rows.get(key)
        if key in self._decided or (row and (row.ended or number < row.number)):
            return Outcome.REPEATED
        outcome = Outcome.CONTINUED
        if row is None:
            row = Row(key=key, partition=partition, first=offset, number=0, began=when, heard=when)
            self._rows[key] = row
            outcome = Outcome.OPENED
        if number > row.number:
            row.problem = row.problem or f"text is missing before piece {number} of the trace"
        row.number, row.heard, row.ended = number + 1, max(row.heard, when), last
        return outcome

    def expired(self, partition: Partition, now: float) -> list[Row]:
        """Traces of `partition` that have been open for too long when its clock says `now`."""
        return [
            row
            for row in self._rows.values()
            if row.partition == partition and not row.ended and now > self._ends(row)
        ]

    def decide(self, key: TraceKey) -> None:
        """Forget an open trace because its verdict is recorded; its late pieces are repetitions."""
        del self._rows[key]
        self._decided[key] = None
        while len(self._decided) > REMEMBERED:
            self._decided.popitem(last=False)

    def drop(self, key: TraceKey) -> None:
        """Forget an open trace as if it had never been seen."""
        del self._rows[key]

    def _ends(self, row: Row) -> float:
        return min(row.heard + self._patience.silence, row.began + self._patience.total)
