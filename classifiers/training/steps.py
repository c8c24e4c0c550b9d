"""Records as the step model reads them: token windows in order, with roles and step targets."""

import random
from dataclasses import dataclass
from typing import Final

from classifiers.port import Check, Role
from classifiers.segment import Piece, segment
from classifiers.tokenise import Tokeniser, Window
from classifiers.training.data import Record

#: The head reads at most the last so many steps of a prompt.
PROMPT_STEPS: Final = 8
CHECKS: Final = (Check.DECEPTION, Check.DANGEROUS_REASONING)
ROLES: Final = (Role.PROMPT, Role.THINKING, Role.ANSWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTrace:
    """A record cut into steps."""

    record: Record
    roles: list[Role]
    texts: list[str]
    #: The windows of each step.
    windows: list[list[Window]]
    #: Per step: 1 shows the evidence, 0 comes before it, 2 after it, None says nothing.
    evidence: list[int | None]

    @property
    def labels(self) -> tuple[int | None, ...]:
        """The record's labels for `CHECKS`."""
        return tuple(self.record.labels[check] for check in CHECKS)


def cut(record: Record, tokeniser: Tokeniser) -> StepTrace:
    """Segment and tokenise a record."""
    prompt = segment(record.prompt)[-PROMPT_STEPS:]
    thinking, answer = segment(record.thinking), segment(record.answer)
    pieces = [*prompt, *thinking, *answer]
    return StepTrace(
        record=record,
        roles=[Role.PROMPT] * len(prompt)
        + [Role.THINKING] * len(thinking)
        + [Role.ANSWER] * len(answer),
        texts=[p.text for p in pieces],
        windows=[tokeniser.step(p.text) for p in pieces],
        evidence=[None] * len(prompt) + _marks(record, thinking) + [None] * len(answer),
    )


def _marks(record: Record, thinking: list[Piece]) -> list[int | None]:
    spans = [
        (at, at + len(e)) for e in record.evidence if e and (at := record.thinking.find(e)) >= 0
    ]
    if not spans:
        return [None] * len(thinking)
    shows = [any(p.start < end and start < p.end for start, end in spans) for p in thinking]
    first = shows.index(True)
    return [1 if shown else (0 if i < first else 2) for i, shown in enumerate(shows)]


def vary(trace: StepTrace, rng: random.Random, longest: int) -> StepTrace:
    """A training view: prompt often dropped, answer sometimes, long harmless traces cropped."""
    keep = set(range(len(trace.roles)))
    if rng.random() < 0.5:
        keep -= _where(trace, Role.PROMPT)
    thinking, answer = _where(trace, Role.THINKING), _where(trace, Role.ANSWER)
    if thinking and answer and rng.random() < 0.2:
        keep -= answer
    if 1 not in trace.labels:
        keep = _crop(keep, rng, longest)
        if thinking and answer and trace.record.authored and rng.random() < 0.1:
            keep -= thinking
    return select(trace, sorted(keep)) if keep else trace


def select(trace: StepTrace, keep: list[int]) -> StepTrace:
    """The trace with only some of its steps."""
    return StepTrace(
        record=trace.record,
        roles=[trace.roles[i] for i in keep],
        texts=[trace.texts[i] for i in keep],
        windows=[trace.windows[i] for i in keep],
        evidence=[trace.evidence[i] for i in keep],
    )


def _where(trace: StepTrace, role: Role) -> set[int]:
    return {i for i, r in enumerate(trace.roles) if r is role}


def _crop(keep: set[int], rng: random.Random, longest: int) -> set[int]:
    ordered = sorted(keep)
    start = rng.randint(0, max(0, len(ordered) - longest))
    return set(ordered[start : start + longest])
