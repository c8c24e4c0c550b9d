"""Who may answer a verdict next, and where an answer leaves it. Pure.

| it stands at | who may answer              | confirm or dismiss leaves it at       | escalate |
|--------------|-----------------------------|---------------------------------------|----------|
| nothing yet  | anybody                     | SECOND if another is asked; settled   | ESCALATE |
| ESCALATE     | who settles                 | settled                               | ESCALATE |
| SECOND       | anybody but who answered    | settled if both say the same; DISPUTE | ESCALATE |
| DISPUTE      | who settles, but neither    | settled                               | ESCALATE |
| settled      | anybody; only who settles,  | settled                               | ESCALATE |
|              | once a second was asked for |                                       |          |

Two say the same when they give the same outcome and contradict each other about no check.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from monitor.types import Check, Decision, Outcome, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What somebody answered."""

    reviewer: str
    outcome: Outcome
    #: What it means for checks: see `meant`.
    meaning: Mapping[Check, bool]
    #: Where it left the verdict.
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Which verdicts are shown to a second person."""

    #: All that were blocked.
    blocks: bool = False
    #: Of the others, chosen by chance; from 0 to 1.
    share: float = 0.0

    def ask(self, decision: Decision, draw: float) -> bool:
        """Whether to ask about a verdict; `draw` is a number from 0 to below 1, by chance."""
        return (self.blocks and decision is Decision.BLOCK) or draw < self.share

    @classmethod
    def read(cls, words: Iterable[str]) -> Self:
        """Read `off`, `all`, `blocks` and `10%`; ValueError for anything else."""
        blocks, share = False, 0.0
        for word in words:
            blocks |= word == "blocks"
            if word not in ("off", "blocks"):
                share = 1.0 if word == "all" else _part(word)
        return cls(blocks=blocks, share=share)

    def __str__(self) -> str:
        if self.share >= 1:
            return "of all"
        parts = ["of what was blocked"] * self.blocks
        parts += [f"of {100 * self.share:g} % by chance"] * (self.share > 0)
        return ", ".join(parts) or "off"


#: Nobody is asked.
NO_SECONDS = Seconds()


def _part(word: str) -> float:
    number = float(word.removesuffix("%")) / 100
    if not (word.endswith("%") and 0 <= number <= 1):
        raise ValueError(word)
    return number


def meant(
    outcome: Outcome, said: Mapping[Check, bool], crossed: Iterable[Check]
) -> dict[Check, bool]:
    """Return what an answer means for each check; `crossed` are those that the verdict is for."""
    if not outcome.final:
        return dict(said)
    return {**dict.fromkeys(crossed, outcome is Outcome.CONFIRM), **said}


def refusal(history: Sequence[Opinion], reviewer: str, *, settles: bool) -> str | None:
    """Return why this person may not answer next; None when they may."""
    now = history[-1].standing if history else None
    if now is Standing.ESCALATE and not settles:
        return "this was escalated: a lead decides"
    if now is Standing.SECOND and history[-1].reviewer == reviewer:
        return "another person gives the second answer"
    if now is Standing.DISPUTE and not settles:
        return "two people disagree: a lead decides"
    if now is Standing.DISPUTE and reviewer in _two(history):
        return "you are one of the two who disagree: another lead decides"
    doubled = any(opinion.standing is Standing.SECOND for opinion in history)
    if doubled and now is not None and now.settled and not settles:
        return "more than one person decided this: only a lead may change it"
    return None


def _two(history: Sequence[Opinion]) -> set[str]:
    return {opinion.reviewer for opinion in history[-2:]}


def left_at(
    history: Sequence[Opinion], outcome: Outcome, meaning: Mapping[Check, bool], *, second: bool
) -> Standing:
    """Return where an answer leaves a verdict; `second` asks for another one after the first."""
    if not outcome.final:
        return Standing.ESCALATE
    if not history:
        return Standing.SECOND if second else Standing(outcome)
    first = history[-1]
    if first.standing is Standing.SECOND and not _same(first, outcome, meaning):
        return Standing.DISPUTE
    return Standing(outcome)


def _same(first: Opinion, outcome: Outcome, meaning: Mapping[Check, bool]) -> bool:
    shared = first.meaning.keys() & meaning.keys()
    contradicted = any(first.meaning[check] != meaning[check] for check in shared)
    return first.outcome is outcome and not contradicted
