"""The evidence that a policy's thresholds find in stored scores of steps, for all rows at once.

The same steps as `monitor.tally` finds in a live trace: that is tested, and the law to keep.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.policy import Policy
from monitor.tally import MAX_EVIDENCE
from monitor.types import Channel, Check
from stream.rescore.table import EVIDENCE

__all__ = ["evidence"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_CHECKS: Final = tuple(Check)
_CHANNELS: Final = pa.array([channel.value for channel in Channel])
#: Bits of a step's name that hold where it starts, and its channel.
_START, _CHANNEL = 40, 3


def evidence(table: pa.Table, policy: Policy) -> pa.Array:
    """The steps that cross the thresholds, with those words that the earlier run quoted."""
    flagged = np.zeros(table.num_rows, dtype=bool)
    for check in Check:
        flagged |= table[f"{check.value}_peak"].to_numpy() >= policy.thresholds[check].flag
    places = np.flatnonzero(flagged)
    rows = table.select(["steps", "evidence", *_scored()]).take(pa.array(places)).combine_chunks()
    found = _found(rows, policy)
    counts = np.bincount(places[found.rows], minlength=table.num_rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), found.told())


def _scored() -> list[str]:
    return [name for c in Check for name in (c.value, f"{c.value}_absent")]


@dataclass(frozen=True, slots=True)
class _Flat:
    """The items of a column of lists of structs."""

    #: The row of each.
    row: Ints
    #: A column for each member of the struct.
    columns: dict[str, pa.Array]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "_Flat":
        """Lay lists end to end."""
        lists = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        items = lists.flatten()
        names = [items.type.field(number).name for number in range(items.type.num_fields)]
        return cls(
            row=np.repeat(np.arange(len(sizes)), sizes),
            columns=dict(zip(names, items.flatten(), strict=True)),
        )

    def numbers(self, name: str) -> npt.NDArray[np.generic]:
        """A column as numbers; NaN where there is none."""
        return np.asarray(self.columns[name].to_numpy(zero_copy_only=False))

    def names(self) -> Ints:
        """A number for each item that says of which row, channel and start it is."""
        channels = pc.index_in(self.columns["channel"], _CHANNELS).to_numpy(zero_copy_only=False)
        return np.asarray(
            (self.row << (_START + _CHANNEL))
            | (channels.astype(np.int64) << _START)
            | self.numbers("start").astype(np.int64)
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """Steps, in the order in which they are told."""

    steps: _Flat
    #: What was told of the same rows before.
    before: _Flat
    #: Where each stands among the steps, and the number of the check that it is evidence of.
    places: Ints
    checks: Ints

    @property
    def rows(self) -> Ints:
        """The row of each."""
        return self.steps.row[self.places]

    def told(self) -> pa.Array:
        """The items of a column of evidence."""
        places = pa.array(self.places)
        scores = np.stack([self.steps.numbers(c.value) for c in Check])
        columns = [
            pa.array([c.value for c in Check]).take(pa.array(self.checks)),
            *(self.steps.columns[name].take(places) for name in ("channel", "start", "end")),
            pa.array(scores[self.checks, self.places]),
            self._quotes(),
        ]
        return pa.StructArray.from_arrays(columns, fields=list(EVIDENCE))

    def _quotes(self) -> pa.Array:
        """The words of each step, where they were told before."""
        known, wanted = self.before.names(), self.steps.names()[self.places]
        order = np.argsort(known, kind="stable")
        at = np.searchsorted(known[order], wanted, side="right") - 1
        there = np.zeros(len(wanted), dtype=bool)
        if len(known):
            there = (at >= 0) & (known[order][at] == wanted)
            at = order[at]
        return self.before.columns["quote"].take(pa.array(at, mask=~there))


def _found(rows: pa.Table, policy: Policy) -> _Found:
    steps, before = _Flat.of(rows["steps"]), _Flat.of(rows["evidence"])
    chosen = [_of_check(rows, steps, check, policy.thresholds[check].flag) for check in Check]
    places = np.concatenate(chosen)
    checks = np.repeat(np.arange(len(_CHECKS)), [len(some) for some in chosen])
    order = np.lexsort((places, checks, steps.row[places]))
    return _Found(steps, before, places[order], checks[order])


def _of_check(rows: pa.Table, steps: _Flat, check: Check, flag: float) -> Ints:
    """Where the evidence of one check stands among the steps."""
    absent = rows[f"{check.value}_absent"].to_numpy().astype(bool)
    failed = np.isnan(rows[check.value].to_numpy()) & ~absent
    scores = np.asarray(steps.numbers(check.value), dtype=np.float64)
    places = np.flatnonzero(~np.isnan(scores) & ~failed[steps.row])
    row, score = steps.row[places], scores[places]
    rise = score - _previous(row, score)
    high = score >= flag
    order = np.lexsort((places[high], -rise[high], row[high]))
    return np.sort(places[high][order][_rank(row[high][order]) < MAX_EVIDENCE])


def _previous(row: Ints, score: Floats) -> Floats:
    """The score before each in its row; 0 for the first."""
    before = np.roll(score, 1)
    before[_rank(row) == 0] = 0.0
    return before


def _rank(row: Ints) -> Ints:
    """How many of the same row stand before each; those of a row stand together."""
    return np.arange(len(row)) - np.searchsorted(row, row, side="left")
