"""The strip chart: how the scores move along a response, as numbers for an inline SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifiers.port import Check, Thresholds
from dashboard.spans import Cue

WIDTH, HEIGHT = 1000, 100
#: Points per curve: more steps than this share a point, which shows the highest of them.
BUCKETS = 500
#: The least part of the width that a channel gets.
MIN_SHARE = 0.08
CHANNELS = ("thinking", "answer", "tool_call")
CURVES = (Check.DECEPTION, Check.DANGEROUS_REASONING, Check.MISMATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One check along the response."""

    check: Check
    #: SVG path data: a level stretch per step.
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A horizontal line: from here on a check flags or blocks."""

    check: Check
    kind: str
    y: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a piece of evidence stands."""

    cue: Cue
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Where a channel is drawn."""

    left: float
    #: Width of one code point.
    scale: float

    def x(self, offset: int) -> float:
        """Where a code point of this channel stands."""
        return self.left + offset * self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Everything that the template draws; x from 0 to `WIDTH`, y from 0 (top) to `HEIGHT`."""

    curves: list[Curve]
    levels: list[Level]
    marks: list[Mark]
    #: Where each channel begins, and its name.
    lanes: list[tuple[float, str]]


def chart(
    document: Mapping[str, Any],
    evidence: Sequence[Cue],
    thresholds: Mapping[Check, Thresholds] | None,
) -> Chart | None:
    """The chart of a verdict's JSON, or None when no step was scored."""
    steps = document["steps"]
    lanes = _lanes(steps)
    if not lanes:
        return None
    paths = ((check, _path(steps, check, lanes)) for check in CURVES)
    return Chart(
        curves=[Curve(check=check, path=path) for check, path in paths if path],
        levels=_levels(thresholds or {}),
        marks=_marks(evidence, lanes),
        lanes=[(lane.left, channel) for channel, lane in lanes.items()],
    )


def _lanes(steps: Sequence[Mapping[str, Any]]) -> dict[str, Lane]:
    """Side by side, each as wide as its text is long, but wide enough to be seen."""
    lengths = {c: max((s["end"] for s in steps if s["channel"] == c), default=0) for c in CHANNELS}
    total = sum(lengths.values())
    shares = {c: max(n / total, MIN_SHARE) for c, n in lengths.items() if n}
    lanes, left = {}, 0.0
    for channel, share in shares.items():
        width = WIDTH * share / sum(shares.values())
        lanes[channel] = Lane(left=left, scale=width / lengths[channel])
        left += width
    return lanes


def _path(steps: Sequence[Mapping[str, Any]], check: Check, lanes: Mapping[str, Lane]) -> str:
    """A staircase through the highest score in each bucket; a gap where nothing was read."""
    buckets: dict[int, tuple[float, float, float]] = {}
    for step in steps:
        score = step.get(check.value)
        if score is None:
            continue
        lane = lanes[step["channel"]]
        left, right = lane.x(step["start"]), lane.x(step["end"])
        key = int(left * BUCKETS / WIDTH)
        old = buckets.get(key, (left, right, score))
        buckets[key] = (min(old[0], left), max(old[1], right), max(old[2], score))
    return _staircase([buckets[key] for key in sorted(buckets)])


def _staircase(stretches: Sequence[tuple[float, float, float]]) -> str:
    parts: list[str] = []
    reached = -1.0
    for left, right, score in stretches:
        pen = "L" if parts and left - reached < WIDTH / BUCKETS else "M"
        parts.append(f"{pen}{left:.1f} {_y(score):.1f}H{right:.1f}")
        reached = right
    return "".join(parts)


def _levels(thresholds: Mapping[Check, Thresholds]) -> list[Level]:
    return [
        Level(check=check, kind=kind, y=_y(probability), probability=probability)
        for check, limits in thresholds.items()
        for kind, probability in zip(("flag", "block"), limits, strict=True)
    ]


def _marks(evidence: Sequence[Cue], lanes: Mapping[str, Lane]) -> list[Mark]:
    """One mark for each check and place: the strongest evidence there."""
    strongest: dict[tuple[Check, int], Mark] = {}
    drawn = [cue for cue in evidence if cue.channel in lanes]
    for cue in sorted(drawn, key=lambda c: c.probability):
        lane = lanes[cue.channel]
        left, right = lane.x(cue.start), lane.x(cue.end)
        mark = Mark(cue=cue, x=left, width=max(right - left, WIDTH / BUCKETS))
        strongest[cue.check, int(left * BUCKETS / WIDTH)] = mark
    return list(strongest.values())


def _y(probability: float) -> float:
    return round((1 - probability) * HEIGHT, 2)
