"""Choosing a threshold: what would have been flagged, and how much of it wrongly. Pure.

Reviewers mostly see what was flagged, so of low scores hardly any label exists. The rate that is
told therefore counts every response that nobody confirmed as one that should not be flagged: the
true rate of false positives is at most that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from classifiers.port import Check
from dashboard.trends import Scores
from monitor.opinions import meant
from monitor.store import Answered
from monitor.store.counts import STEPS

#: Of the normal distribution: 95 % lie within.
_Z = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a person said of one check on one verdict."""

    score: float
    positive: bool
    #: When the verdict was made.
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a threshold would have done to last week's traffic."""

    threshold: float
    #: Verdicts that this check alone would have flagged.
    flagged: int
    #: Of the verdicts that this check could be made on.
    total: int
    #: Confirmed among those of the week that would have been flagged.
    confirmed: int
    #: Confirmed in the week, flagged or not.
    all_confirmed: int

    @property
    def rate(self) -> float | None:
        """At most this part of what nobody confirmed would have been flagged."""
        rest = self.total - self.all_confirmed
        return (self.flagged - self.confirmed) / rest if rest > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What labels say of a threshold, whenever they were given."""

    #: Said to be there, said not to be there: from the threshold on.
    right: int
    wrong: int
    #: Said to be there, below the threshold.
    missed: int

    @property
    def precision(self) -> tuple[float, float, float] | None:
        """The part of those flagged that were right, and 95 % bounds; None without labels."""
        total = self.right + self.wrong
        return (self.right / total, *wilson(self.right, total)) if total else None


def labels_of(check: Check, answered: Iterable[Answered]) -> list[Label]:
    """What reviewers said of a check: outright, or by confirming or dismissing what it flagged."""
    found = ((a, meant(a.outcome, a.said, a.crossed)) for a in answered if check in a.scores)
    return [
        Label(score=a.scores[check], positive=told[check], created_at=a.created_at)
        for a, told in found
        if check in told
    ]


def reaching(scores: Scores) -> NDArray[np.int64]:
    """How many verdicts score at least each step."""
    counted: NDArray[np.int64] = scores[::-1].cumsum(dtype=np.int64)[::-1]
    return counted


def by_rate(scores: Scores, week: Sequence[Label], rate: float) -> float:
    """The lowest threshold that flags at most this part of what nobody confirmed."""
    positives = np.zeros(STEPS + 1, np.int64)
    for label in week:
        positives[int(label.score * STEPS)] += label.positive
    confirmed = positives[::-1].cumsum()[::-1]
    rest = int(scores.sum()) - int(confirmed[0])
    return _lowest(reaching(scores) - confirmed <= rate * rest)


def by_capacity(scores: Scores, days: float, per_day: float) -> float:
    """The lowest threshold at which this check alone flags at most so many a day."""
    return _lowest(reaching(scores) <= per_day * days)


def _lowest(fits: NDArray[np.bool_]) -> float:
    """From the first step on that fits and whose successors all do; a threshold is never 0."""
    misfits = np.flatnonzero(~fits)
    step = int(misfits[-1]) + 1 if misfits.size else 0
    return min(max(step, 1), STEPS) / STEPS


def effect(scores: Scores, week: Sequence[Label], threshold: float, flagged: int) -> Effect:
    """What `threshold` does; `flagged` is the exact number of verdicts that reach it."""
    confirmed = [label for label in week if label.positive]
    return Effect(
        threshold=threshold,
        flagged=flagged,
        total=int(scores.sum()),
        confirmed=sum(label.score >= threshold for label in confirmed),
        all_confirmed=len(confirmed),
    )


def known(labels: Iterable[Label], threshold: float) -> Known:
    """What all labels say of `threshold`."""
    right = wrong = missed = 0
    for label in labels:
        over = label.score >= threshold
        right += label.positive and over
        missed += label.positive and not over
        wrong += over and not label.positive
    return Known(right=right, wrong=wrong, missed=missed)


def wilson(count: int, total: int) -> tuple[float, float]:
    """Bounds between which a part lies with 95 % confidence (Wilson's score interval)."""
    part, square = count / total, _Z * _Z / total
    middle = (part + square / 2) / (1 + square)
    reach = _Z * sqrt(part * (1 - part) / total + square / total / 4) / (1 + square)
    return max(0.0, middle - reach), min(1.0, middle + reach)
