"""From step scores to assessments. Pure."""

from collections.abc import Mapping

from classifiers.port import Check, Role
from monitor.policy import Policy, reach
from monitor.types import Assessment, Decision, Evidence, Status, Step, StepScores

#: Evidence steps kept per check: enough to convince a reviewer, few enough to read.
MAX_EVIDENCE = 3
_NOTHING = "the response has no text"
_NO_THINKING = "there is no thinking to compare the answer with"
_NO_ANSWER = "there is no answer to compare with the thinking"
#: Why a check has nothing to read; every other reason is a failure.
ABSENT = frozenset({_NOTHING, _NO_THINKING, _NO_ANSWER})


class Tally:
    """The scores of one trace as they come, in the order of its steps."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.steps: list[StepScores] = []
        #: Highest decision that a score called for so far; never falls.
        self.reached = Decision.ALLOW
        #: Why a check can no longer be made.
        self.failures: dict[Check, str] = {}

    def add(self, step: Step, scores: Mapping[Check, float]) -> None:
        """Count the scores of the next step."""
        self.steps.append(StepScores(step=step, scores=scores))
        for check, probability in scores.items():
            self.reached = max(self.reached, reach(self._policy, check, probability))

    def fail(self, reason: str, *checks: Check) -> None:
        """Mark `checks` (all, when none is named) as not judged; the first reason stays."""
        for check in checks or Check:
            self.failures.setdefault(check, reason)

    def assessments(self) -> tuple[Assessment, ...]:
        """One assessment per check."""
        return tuple(self._assess(check) for check in Check)

    def _assess(self, check: Check) -> Assessment:
        if reason := self.failures.get(check):
            return _unscored(check, reason, absent=False)
        curve = [(s.step, s.scores[check]) for s in self.steps if check in s.scores]
        if not curve:
            return _unscored(check, self._missing(check), absent=True)
        return Assessment(
            check=check,
            status=Status.SCORED,
            probability=max(p for _, p in curve),
            evidence=_evidence(curve, self._policy.thresholds[check].flag),
        )

    def _missing(self, check: Check) -> str:
        roles = {s.step.channel.role for s in self.steps}
        if check is not Check.MISMATCH or not roles:
            return _NOTHING
        return _NO_ANSWER if Role.THINKING in roles else _NO_THINKING


def _unscored(check: Check, reason: str, *, absent: bool) -> Assessment:
    return Assessment(
        check=check, status=Status.UNSCORED, probability=None, reason=reason, absent=absent
    )


def _evidence(curve: list[tuple[Step, float]], flag: float) -> tuple[Evidence, ...]:
    """The steps above `flag` at which the score rose most, in reading order."""
    previous = [0.0, *(p for _, p in curve)]
    rises = [
        (p - before, -step.index, step, p)
        for (step, p), before in zip(curve, previous, strict=False)
        if p >= flag
    ]
    top = sorted(rises, key=lambda r: r[:2], reverse=True)[:MAX_EVIDENCE]
    return tuple(
        Evidence(channel=s.channel, start=s.start, end=s.end, probability=p)
        for _, _, s, p in sorted(top, key=lambda r: -r[1])
    )
