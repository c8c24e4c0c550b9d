"""The overview: how much was judged, how it was decided, what waits, and what has changed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from starlette.responses import HTMLResponse, Response

from classifiers.port import Check
from dashboard.identity import identity
from dashboard.plot import Bars, Layer, outline, stacked
from dashboard.port import Console
from dashboard.render import page
from dashboard.spans import NAMES
from dashboard.trends import Scores, Stretch, Sums
from monitor.clock import stamp
from monitor.store import Backlog
from monitor.types import Decision

#: Models in the table; the rest are added up in the rows above them all the same.
MODELS = 12
#: Bars of a histogram of scores.
BINS = 25
#: Verdicts on each side below which nothing is said about drift.
ENOUGH = 200
#: Fail-opens that are linked to.
LINKED = 5
_AGES = (
    ("under 1 h", timedelta(hours=1)),
    ("1 h to 8 h", timedelta(hours=8)),
    ("8 h to 24 h", timedelta(days=1)),
    ("1 d to 7 d", timedelta(days=7)),
    ("over 7 d", timedelta.max),
)


class Span(StrEnum):
    """How far the overview looks back."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def hours(self) -> int:
        """How long it is."""
        return {Span.DAY: 24, Span.WEEK: 7 * 24, Span.MONTH: 28 * 24}[self]

    @property
    def slot(self) -> int:
        """Hours in a bar."""
        return {Span.DAY: 1, Span.WEEK: 3, Span.MONTH: 12}[self]

    @property
    def words(self) -> str:
        """What a person calls it."""
        return {Span.DAY: "24 hours", Span.WEEK: "7 days", Span.MONTH: "28 days"}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What one bar is of."""

    name: str
    sums: Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The scores of a check now, beside those of the time before."""

    check: Check
    name: str
    now: str
    before: str
    #: Population stability index; None of too few verdicts.
    index: float | None
    mean_now: float | None
    mean_before: float | None

    @property
    def word(self) -> str:
        """The usual reading of the index: a rule of thumb, no test."""
        if self.index is None:
            return "too few to tell"
        return "steady" if self.index < 0.1 else "moved" if self.index < 0.25 else "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for a person."""

    total: int
    #: Of those whose age is told, how many are how old.
    ages: Sequence[tuple[str, int]]
    oldest: timedelta | None
    told: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewView:
    """Everything on the page."""

    span: Span
    now: Sums
    before: Sums
    slots: Sequence[Slot]
    charts: Sequence[tuple[str, Bars]]
    models: Sequence[tuple[str, Sums]]
    drifts: Sequence[Drift]
    waiting: Waiting
    failed_open: Sequence[str]

    @property
    def highest(self) -> float:
        """The highest rate among the models."""
        return max((_highest(sums) for _, sums in self.models), default=0.0)


def _highest(sums: Sums) -> float:
    decided = (sums.decisions[Decision.FLAG], sums.decisions[Decision.BLOCK])
    return max(sums.share(count) or 0.0 for count in (*decided, *sums.over.values()))


def routes(console: Console) -> APIRouter:
    """The route of the overview."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/overview")
    def overview(request: Request, span: Annotated[Span, Query()] = Span.WEEK) -> Response:
        shown = {"console": console, "identity": identity(request), "SPANS": list(Span)}
        return page("overview.html", {**shown, "view": overview_view(console, span)})

    return router


def overview_view(console: Console, span: Span) -> OverviewView:
    """Look back over `span`, and over as long a time before it."""
    limits = console.policy().top.thresholds
    flags = {check: limit.flag for check, limit in limits.items()}
    both = console.trends.last(2 * span.hours, flags)
    before, now = both.part(0, span.hours), both.part(span.hours, 2 * span.hours)
    slots = _slots(now, span)
    ends = (stamp(now.since), stamp(now.until))
    return OverviewView(
        span=span,
        now=now.sums(),
        before=before.sums(),
        slots=slots,
        charts=_charts(slots),
        models=now.models()[:MODELS],
        drifts=[_drift(check, now, before) for check in Check],
        waiting=waiting(console.store.reviews.backlog(), datetime.now(UTC)),
        failed_open=console.store.tallies.failed_open(*ends, LINKED),
    )


def _slots(stretch: Stretch, span: Span) -> list[Slot]:
    ends = range(span.slot, len(stretch.hours) + 1, span.slot)
    parts = [stretch.part(end - span.slot, end) for end in ends]
    return [Slot(name=_name(part), sums=part.sums()) for part in parts]


def _name(part: Stretch) -> str:
    return f"{part.since:%-d %b %H:%M} to {part.until:%H:%M}"


def _charts(slots: Sequence[Slot]) -> list[tuple[str, Bars]]:
    def layer(kind: str, name: str, counts: Sequence[int]) -> Layer:
        return Layer(kind=kind, name=name, counts=counts)

    sums, places = [slot.sums for slot in slots], [slot.name for slot in slots]
    flag, block = ([s.decisions[d] for s in sums] for d in (Decision.FLAG, Decision.BLOCK))
    drawn = {
        "Responses judged": [layer("all", "Judged", [s.total for s in sums])],
        "Flagged and blocked": [layer("block", "Blocked", block), layer("flag", "Flagged", flag)],
        "Not judged": [layer("unjudged", "Not judged", [s.unscored for s in sums])],
        "Not all seen": [layer("gap", "Not all seen", [s.unseen for s in sums])],
    }
    return [(title, stacked(layers, places)) for title, layers in drawn.items()]


def _drift(check: Check, now: Stretch, before: Stretch) -> Drift:
    new, old = now.scores(check), before.scores(check)
    shares = [_shares(scores) for scores in (new, old)]
    top = max(float(part.max()) for part in shares)
    new_line, old_line = (outline(list(map(float, part)), top, math.sqrt) for part in shares)
    return Drift(
        check=check,
        name=NAMES[check],
        now=new_line,
        before=old_line,
        index=stability(new, old),
        mean_now=_mean(new),
        mean_before=_mean(old),
    )


def _shares(scores: Scores) -> NDArray[np.float64]:
    """Parts of all by score, in `BINS` bars; the score 1 belongs to the last."""
    folded = scores[:-1].reshape(BINS, -1).sum(axis=1).astype(np.float64)
    folded[-1] += scores[-1]
    shares: NDArray[np.float64] = folded / max(float(folded.sum()), 1.0)
    return shares


def _mean(scores: Scores) -> float | None:
    total = int(scores.sum())
    middles = (np.arange(len(scores)) + 0.5) / (len(scores) - 1)
    return float((scores * middles).sum() / total) if total else None


def stability(new: Scores, old: Scores) -> float | None:
    """The population stability index over tenths of the old scores; None of too few.

    Half a verdict is added to each tenth, so that an empty one makes no infinity.
    """
    if min(int(new.sum()), int(old.sum())) < ENOUGH:
        return None
    reached = np.cumsum(old) / old.sum()
    edges = np.unique(np.searchsorted(reached, np.arange(1, 10) / 10) + 1)
    parts = [
        np.array([part.sum() + 0.5 for part in np.split(counts, edges)]) for counts in (new, old)
    ]
    a, b = (part / part.sum() for part in parts)
    return float(((a - b) * np.log(a / b)).sum())


def waiting(backlog: Backlog, now: datetime) -> Waiting:
    """Work out how long things wait."""
    ages = sorted(now - datetime.fromisoformat(since) for since in backlog.since)
    counts, left = [], list(ages)
    for name, limit in _AGES:
        here = [age for age in left if age < limit]
        left = left[len(here) :]
        counts.append((name, len(here)))
    return Waiting(
        total=backlog.total, ages=counts, oldest=ages[-1] if ages else None, told=len(ages)
    )
