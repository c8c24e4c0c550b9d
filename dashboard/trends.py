"""Counts by hour, kept in memory as far as the record is counted for good.

The store counts, see `monitor.store.counts`; this adds up what was asked for, under the thresholds
that hold today.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from classifiers.port import Check
from monitor.clock import stamp
from monitor.store.counts import (
    HOUR_LENGTH,
    MAX_MODELS,
    OTHER_MODELS,
    STEPS,
    Group,
    Hours,
    step_of,
)
from monitor.types import Decision

HOUR = timedelta(hours=1)
#: Hours kept: two stretches of four weeks.
KEPT = 2 * 28 * 24 + 2

#: Verdicts by score in steps of 1/`STEPS`.
Scores: TypeAlias = NDArray[np.uint32]
#: From which score on a check counts as over.
Flags: TypeAlias = Mapping[Check, float]


class Counts(Protocol):
    """What the store counted. Synchronous and safe to call from any thread."""

    def pieces(self, first: int, since: str) -> Iterator[Hours]:
        """What will not change any more, from a piece on; no hours before `since`."""
        ...

    def rest(self, first: int) -> Hours:
        """All that was recorded from a piece on."""
        ...


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
    #: How many reached today's threshold, to a step.
    over: Counter[Check] = field(default_factory=Counter)

    def count(self, group: Group, flags: Flags) -> None:
        """Count verdicts about a model."""
        for (decision, unscored, failed_open, gaps), number in group.alike.items():
            self.total += number
            self.decisions[Decision(decision)] += number
            self.unscored += unscored * number
            self.failed_open += failed_open * number
            self.unseen += bool(gaps) * number
            for gap in gaps.split():
                self.gaps[gap] += number
        for check, steps in zip(Check, group.steps, strict=True):
            self.over[check] += len(steps) - bisect_left(steps, step_of(flags[check]))

    def add(self, other: "Sums") -> None:
        """Count what others counted."""
        self.total += other.total
        self.decisions.update(other.decisions)
        self.unscored += other.unscored
        self.failed_open += other.failed_open
        self.unseen += other.unseen
        self.gaps.update(other.gaps)
        self.over.update(other.over)

    def share(self, count: int) -> float | None:
        """A part of all, from 0 to 1; None of nothing."""
        return count / self.total if self.total else None


def _counted(steps: Iterable[list[int]]) -> Scores:
    found = np.fromiter(chain.from_iterable(steps), np.intp)
    return np.bincount(found, minlength=STEPS + 1).astype(np.uint32)


def _nothing() -> dict[Check, Scores]:
    return {check: np.zeros(STEPS + 1, np.uint32) for check in Check}


@dataclass(frozen=True, slots=True)
class Hour:
    """What was judged in an hour. Nobody changes one that others can see."""

    models: dict[str, Sums] = field(default_factory=dict)
    scores: Mapping[Check, Scores] = field(default_factory=_nothing)

    def and_more(self, models: Mapping[str, Group], flags: Flags) -> "Hour":
        """Return this with what a piece of the record has of the hour."""
        groups = models.values()
        scores = {
            check: self.scores[check] + _counted(group.steps[place] for group in groups)
            for place, check in enumerate(Check)
        }
        found = Hour(scores=scores)
        for model, sums in self.models.items():
            found._of(model).add(sums)
        for model, group in models.items():
            found._of(model).count(group, flags)
        return found

    def _of(self, model: str) -> Sums:
        """Names of models come from clients: only so many are told apart."""
        known = model in self.models or len(self.models) < MAX_MODELS
        return self.models.setdefault(model if known else OTHER_MODELS, Sums())


_EMPTY = Hour()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Hours one after the other, without a hole."""

    #: When it begins.
    since: datetime
    hours: tuple[Hour, ...]

    @property
    def until(self) -> datetime:
        """When it ends, which may be in the coming hour."""
        return self.since + len(self.hours) * HOUR

    @property
    def days(self) -> float:
        """How long it is."""
        return len(self.hours) / 24

    def part(self, first: int, end: int) -> "Stretch":
        """Return the hours from one of them up to another."""
        return Stretch(since=self.since + first * HOUR, hours=self.hours[first:end])

    def sums(self) -> Sums:
        """Count everything."""
        total = Sums()
        for hour in self.hours:
            for sums in hour.models.values():
                total.add(sums)
        return total

    def models(self) -> list[tuple[str, Sums]]:
        """Count by model, the busiest first."""
        found: dict[str, Sums] = {}
        for hour in self.hours:
            for model, sums in hour.models.items():
                found.setdefault(model, Sums()).add(sums)
        return sorted(found.items(), key=lambda item: (-item[1].total, item[0]))

    def scores(self, check: Check) -> Scores:
        """Count by score."""
        found: Scores = np.sum([h.scores[check] for h in self.hours], axis=0, dtype=np.uint32)
        return found


class Trends:
    """Looks back over whole hours. All methods may be called from any thread."""

    def __init__(
        self, counts: Counts, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._counts, self._now = counts, now
        self._turn = threading.Lock()
        self._flags: Flags = {}
        #: What was loaded: hours from one on, up to before a piece of the record.
        self._hours: dict[str, Hour] = {}
        self._since, self._next = "", 0

    def last(self, hours: int, flags: Flags) -> Stretch:
        """Return the last so many hours, the running one included.

        What was recorded of them late is in them too.
        """
        end = self._now().replace(minute=0, second=0, microsecond=0) + HOUR
        starts = [end - HOUR * number for number in range(hours, 0, -1)]
        with self._turn:
            self._load(_name(starts[0]), flags)
            self._forget(_name(min(starts[0], end - KEPT * HOUR)))
            fresh = self._counts.rest(self._next)
            found = tuple(self._hour(_name(start), fresh) for start in starts)
        return Stretch(since=starts[0], hours=found)

    def _load(self, since: str, flags: Flags) -> None:
        """Take in what was counted since the last look, or everything for other thresholds."""
        if flags != self._flags or not self._since or since < self._since:
            self._flags, self._since, self._next, self._hours = dict(flags), since, 0, {}
        for piece in self._counts.pieces(self._next, self._since):
            for name, models in piece.items():
                if name >= self._since:
                    self._hours[name] = self._hours.get(name, _EMPTY).and_more(models, flags)
            self._next += 1

    def _forget(self, oldest: str) -> None:
        for name in [name for name in self._hours if name < oldest]:
            del self._hours[name]
        self._since = max(self._since, oldest)

    def _hour(self, name: str, fresh: Hours) -> Hour:
        known = self._hours.get(name, _EMPTY)
        return known.and_more(fresh[name], self._flags) if name in fresh else known


def _name(start: datetime) -> str:
    """An hour as the store names it."""
    return stamp(start)[:HOUR_LENGTH]
