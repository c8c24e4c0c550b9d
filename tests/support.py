"""Builders that several test files share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from classifiers.fake import FakeClassifier
from classifiers.port import Check, Thresholds
from monitor.engine import Engine
from monitor.policy import Policy
from monitor.rulebook import Rule, Rulebook, When, spelt
from monitor.types import Channel, Mode, Part, Trace, Verdict, coalesce

THRESHOLDS: Mapping[Check, Thresholds] = {c: Thresholds(flag=0.5, block=0.9) for c in Check}
#: Words that make the fake classifier score high.
MARKERS = {
    "PLOT": {"deception": 0.95},
    "HINT": {"deception": 0.6},
    "BOMB": {"dangerous_reasoning": 0.97},
    "LIAR": {"mismatch": 0.99},
}


def policy(mode: Mode = Mode.HOLD, **changes: object) -> Policy:
    return Policy(thresholds=THRESHOLDS, mode=mode, **changes)  # type: ignore[arg-type]


def rulebook(top: Policy | None = None, **rules: tuple[When, Policy]) -> Rulebook:
    """A policy file with rules by name."""
    made = [
        Rule(name=name, when=when, says=spelt(held), policy=held)
        for name, (when, held) in rules.items()
    ]
    return Rulebook(top=top or policy(), rules=tuple(made))


def fake(**options: object) -> FakeClassifier:
    return FakeClassifier(MARKERS, i_know_this_is_fake=True, **options)  # type: ignore[arg-type]


@dataclass
class Recorded:
    """A recorder that remembers, and can be told to fail."""

    verdicts: list[tuple[Verdict, Trace]] = field(default_factory=list)
    error: Exception | None = None

    async def __call__(self, verdict: Verdict, trace: Trace) -> None:
        if self.error:
            raise self.error
        self.verdicts.append((verdict, trace))


def engine(
    *,
    classifier: FakeClassifier | None = None,
    rules: Policy | Rulebook | None = None,
    record: Recorded | None = None,
) -> Engine:
    book = rules if isinstance(rules, Rulebook) else rulebook(rules)
    return Engine(classifier=classifier or fake(), policy=book, record=record or Recorded())


def trace(thinking: str = "", answer: str = "", **fields: object) -> Trace:
    parts: Sequence[Part] = (
        Part(channel=Channel.THINKING, text=thinking),
        Part(channel=Channel.ANSWER, text=answer),
    )
    return Trace(trace_id="t", parts=coalesce(parts), **fields)  # type: ignore[arg-type]
