"""Counts by hour, kept: an hour that is over is counted once.

The store counts; this adds hours up. What is recorded more than `LATE` after its hour began to be
over is not seen here, and is in the list all the same.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from classifiers.port import Check
from monitor.clock import stamp
from monitor.store import Cell, Tallies
from monitor.store.tallies import STEPS
from monitor.types import Decision

HOUR = timedelta(hours=1)
#: How long an hour that is over is counted anew.
LATE = timedelta(hours=1)
#: Hours kept: two stretches of four weeks.
KEPT = 2 * 28 * 24 + 2

#: Verdicts by score in steps of 1/`STEPS`.
Scores: TypeAlias = NDArray[np.uint32]
_Flags: TypeAlias = tuple[tuple[Check, float], ...]


@dataclass(slots=True, kw_only=True)
class Sums:
    """What some verdicts have in common, counted."""

    total: int = 0
    decisions: Counter[Decision] = field(default_factory=Counter)
    unscored: int = 0
    failed_open: int = 0
    #: Verdicts with any gap.
    unseen: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    over: Counter[Check] = field(default_factory=Counter)

    def add(self, cell: Cell) -> None:
        """Count a cell."""
        self.total += cell.count
        self.decisions[cell.decision] += cell.count
        self.unscored += cell.unscored * cell.count
        self.failed_open += cell.failed_open * cell.count
        self.unseen += bool(cell.gaps) * cell.count
        for gap in cell.gaps.split():
            self.gaps[gap] += cell.count
        self.over.update(cell.over)

    def share(self, count: int) -> float | None:
        """A part of all, from 0 to 1; None of nothing."""
        return count / self.total if self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What was judged in an hour."""

    start: datetime
    cells: tuple[Cell, ...]
    scores: Mapping[Check, Scores]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Hours one after the other, without a hole."""

    hours: tuple[Hour, ...]

    @property
    def since(self) -> datetime:
        """When it begins."""
        return self.hours[0].start

    @property
    def until(self) -> datetime:
        """When it ends, which may be in the coming hour."""
        return self.hours[-1].start + HOUR

    @property
    def days(self) -> float:
        """How long it is."""
        return len(self.hours) / 24

    def sums(self) -> Sums:
        """Count everything."""
        return summed(self.hours)

    def models(self) -> list[tuple[str, Sums]]:
        """Count by model, the busiest first."""
        found: dict[str, Sums] = {}
        for hour in self.hours:
            for cell in hour.cells:
                found.setdefault(cell.model, Sums()).add(cell)
        return sorted(found.items(), key=lambda item: (-item[1].total, item[0]))

    def scores(self, check: Check) -> Scores:
        """Count by score."""
        found: Scores = np.sum([h.scores[check] for h in self.hours], axis=0, dtype=np.uint32)
        return found


def summed(hours: Iterable[Hour]) -> Sums:
    """Count everything in some hours."""
    sums = Sums()
    for hour in hours:
        for cell in hour.cells:
            sums.add(cell)
    return sums


_NONE: Scores = np.zeros(STEPS + 1, np.uint32)


class Trends:
    """Looks back over whole hours. All methods may be called from any thread."""

    def __init__(
        self, tallies: Tallies, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._tallies, self._now = tallies, now
        self._turn = threading.Lock()
        self._flags: _Flags = ()
        self._hours: dict[datetime, Hour] = {}
        #: When the oldest verdict was made: before it, there is nothing to count.
        self._first: str | None = None

    def last(self, hours: int, flags: Mapping[Check, float], *, skip: int = 0) -> Stretch:
        """Return the last so many hours, the running one included, or those `skip` before.

        `flags` says from which score a check counts as over.
        """
        now = self._now()
        end = now.replace(minute=0, second=0, microsecond=0) + HOUR - skip * HOUR
        starts = [end - HOUR * number for number in range(hours, 0, -1)]
        with self._turn:
            self._forget(tuple(sorted(flags.items())))
            self._first = self._first or self._tallies.first()
            return Stretch(hours=tuple(self._hour(start, flags, now) for start in starts))

    def _forget(self, flags: _Flags) -> None:
        """Drop what was counted for other thresholds, and the oldest hours."""
        if flags != self._flags:
            self._flags, self._hours = flags, {}
        for start in sorted(self._hours)[:-KEPT]:
            del self._hours[start]

    def _hour(self, start: datetime, flags: Mapping[Check, float], now: datetime) -> Hour:
        if self._first is None or stamp(start + HOUR) <= self._first:
            return Hour(start=start, cells=(), scores=dict.fromkeys(Check, _NONE))
        if start not in self._hours:
            hour = self._counted(start, flags)
            if now - start < HOUR + LATE:
                return hour
            self._hours[start] = hour
        return self._hours[start]

    def _counted(self, start: datetime, flags: Mapping[Check, float]) -> Hour:
        tally = self._tallies.tally(stamp(start), stamp(start + HOUR), flags)
        scores = {check: _filled(tally.scores[check]) for check in Check}
        return Hour(start=start, cells=tally.cells, scores=scores)


def _filled(counts: Mapping[int, int]) -> Scores:
    """A place for every step; a score of 1 has one of its own."""
    filled = np.zeros(STEPS + 1, np.uint32)
    for step, count in counts.items():
        filled[min(max(step, 0), STEPS)] += count
    return filled
