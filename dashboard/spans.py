"""Cut one channel's text into the spans a reviewer sees: its steps, and what is evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifiers.port import Check

#: What a person calls each check.
NAMES = {
    Check.DECEPTION: "Deception",
    Check.DANGEROUS_REASONING: "Danger",
    Check.MISMATCH: "Mismatch",
}
#: Code points of one channel shown at a time; more are a page further, never dropped.
WINDOW = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One piece of evidence of a verdict, numbered in the order in which it is read."""

    number: int
    check: Check
    channel: str
    start: int
    end: int
    probability: float

    @property
    def name(self) -> str:
        """What a person calls the check."""
        return NAMES[self.check]

    @property
    def page(self) -> int:
        """Offset of the window in which this stands."""
        return self.start // WINDOW * WINDOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Contiguous text: a step, or what stands between steps."""

    start: int
    end: int
    text: str
    #: Probabilities by check after this step; empty between steps.
    scores: Mapping[Check, float]
    #: Evidence that begins in this step.
    cues: tuple[Cue, ...] = ()

    @property
    def tint(self) -> int:
        """Tenths of the highest score: the shade of the step."""
        return int(max(self.scores.values(), default=0.0) * 10)

    @property
    def words(self) -> str:
        """The text without the white space at its end, which is not worth an outline."""
        return self.text.rstrip()

    @property
    def tail(self) -> str:
        """That white space."""
        return self.text[len(self.words) :]

    @property
    def label(self) -> str:
        """The scores in words, for a tooltip."""
        scores = (f"{NAMES[c].lower()} {p:.2f}" for c, p in self.scores.items())
        return " · ".join([f"{self.start:,}\u2013{self.end:,}", *scores])


def cues(document: Mapping[str, Any]) -> list[Cue]:
    """The evidence of a verdict's JSON in reading order: thinking first, then the answer."""
    order = {"thinking": 0, "answer": 1, "tool_call": 2}
    found = sorted(document["evidence"], key=lambda e: (order[e["channel"]], e["start"]))
    return [
        Cue(
            number=number,
            check=Check(e["check"]),
            channel=e["channel"],
            start=e["start"],
            end=e["end"],
            probability=e["probability"],
        )
        for number, e in enumerate(found, 1)
    ]


def spans(
    text: str, steps: Sequence[Mapping[str, Any]], evidence: Sequence[Cue], first: int, last: int
) -> list[Span]:
    """`text[first:last]` as spans; joining their texts gives exactly that."""
    evidence = [c for c in evidence if c.start < last and first < c.end]
    result: list[Span] = []
    position = first
    for step in sorted(steps, key=lambda s: (s["start"], s["end"])):
        start, end = max(step["start"], position), min(step["end"], last)
        if start >= end:
            continue
        if position < start:
            result.append(_span(text, position, start, {}, evidence))
        result.append(_span(text, start, end, scores(step), evidence))
        position = end
    if position < last:
        result.append(_span(text, position, last, {}, evidence))
    return result


def scores(step: Mapping[str, Any]) -> dict[Check, float]:
    """The probabilities that a step of a verdict's JSON carries."""
    return {check: step[check.value] for check in Check if step.get(check.value) is not None}


def _span(
    text: str, start: int, end: int, scored: Mapping[Check, float], evidence: Sequence[Cue]
) -> Span:
    inside = tuple(c for c in evidence if start < c.end and c.start < end)
    return Span(start=start, end=end, text=text[start:end], scores=scored, cues=inside)
