"""What is done about a score: thresholds, mode and the meaning of "could not judge".

Law: `decide` is monotone. More evidence, or a check that could not be made under a policy that
blocks those, never lowers a decision; a case nobody thought of blocks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from classifiers.port import Check, Thresholds
from monitor.types import Assessment, Decision, Mode, Status

DEFAULT_REFUSAL: Final = "This response was withheld by a safety monitor."


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for one response: `monitor.rulebook` chooses it."""

    #: From which calibrated probability each check flags and blocks.
    thresholds: Mapping[Check, Thresholds]
    #: What a client may see before the verdict.
    mode: Mode = Mode.HOLD
    #: Longest that a complete step may wait for its score before it counts as UNSCORED.
    deadline_seconds: float = 20.0
    #: The decision on a response that could not be judged. BLOCK is fail-closed.
    unscored: Decision = Decision.BLOCK
    #: The decision for a check that has nothing to read, such as mismatch without thinking.
    absent: Decision = Decision.ALLOW
    #: What the client is told instead of a blocked answer.
    refusal: str = DEFAULT_REFUSAL
    #: The rule of the policy file that chose this; "" where no rule matched.
    rule: str = ""
    #: Names the policy file as a whole, all of its rules included.
    version: str = ""

    def in_mode(self, mode: Mode) -> "Policy":
        """The same rules in another mode."""
        return replace(self, mode=mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the policy says about a set of assessments."""

    decision: Decision
    #: A check failed and the policy lets the response pass all the same.
    failed_open: bool


def decide(policy: Policy, assessments: Iterable[Assessment]) -> Ruling:
    """Combine assessments by `max`; no assessment at all cannot be judged."""
    every = tuple(assessments)
    decision = max((rule(policy, a) for a in every), default=policy.unscored)
    failed = any(a.status is Status.UNSCORED and not a.absent for a in every) or not every
    return Ruling(decision=decision, failed_open=failed and decision is not Decision.BLOCK)


def rule(policy: Policy, assessment: Assessment) -> Decision:
    """The decision that one assessment calls for."""
    if assessment.status is Status.SCORED and assessment.probability is not None:
        return reach(policy, assessment.check, assessment.probability)
    if assessment.status is Status.UNSCORED:
        return policy.absent if assessment.absent else policy.unscored
    return Decision.BLOCK


def reach(policy: Policy, check: Check, probability: float) -> Decision:
    """What `probability` reaches; NaN and a check without thresholds block."""
    limits = policy.thresholds.get(check)
    if limits is not None and probability < limits.flag:
        return Decision.ALLOW
    if limits is not None and probability < limits.block:
        return Decision.FLAG
    return Decision.BLOCK
