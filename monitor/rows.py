"""A verdict as one flat row: for tables, data frames and notebooks."""

from collections.abc import Iterator
from typing import Any

from monitor.types import Assessment, Check, Status, StepScores, Trace, Verdict

__all__ = ["flat"]

#: Code points of a quoted step.
MAX_QUOTE = 300


def flat(verdict: Verdict, trace: Trace) -> dict[str, Any]:
    """Return the verdict about `trace` as plain values.

    Per check: the calibrated probability, None when UNSCORED; `_reason` why, else ""; `_absent` as
    in `Assessment.absent`; `_peak` the highest score of a step, also when the check failed later.
    Probabilities are not rounded. Unlike the public JSON of a verdict it quotes the trace: the
    steps of the evidence.
    """
    return {
        "trace_id": verdict.trace_id,
        "choice": trace.choice,
        "verdict_id": verdict.verdict_id,
        "model": trace.model,
        "tenant": trace.tenant,
        "conversation_id": trace.conversation_id,
        "decision": verdict.decision.name.lower(),
        "mode": verdict.mode.value,
        "unscored": verdict.unscored,
        "failed_open": verdict.failed_open,
        "disguised_characters": verdict.disguised,
        "thinking_characters": len(trace.thinking),
        "answer_characters": len(trace.answer),
        **{k: v for a in verdict.assessments for k, v in _check(a, verdict.steps)},
        "evidence": evidence_rows(verdict.assessments, trace),
        "steps": [_step(s) for s in verdict.steps],
        "subtext_version": verdict.versions.subtext,
        "model_version": verdict.versions.model,
        "calibration_version": verdict.versions.calibration,
        "policy_version": verdict.versions.policy,
    }


def evidence_rows(assessments: tuple[Assessment, ...], trace: Trace) -> list[dict[str, Any]]:
    """The steps that made checks cross their thresholds, with their words."""
    return [
        {
            "check": a.check.value,
            "channel": e.channel.value,
            "start": e.start,
            "end": e.end,
            "probability": e.probability,
            "quote": trace.text(e.channel)[e.start : min(e.end, e.start + MAX_QUOTE)],
        }
        for a in assessments
        if a.status is Status.SCORED
        for e in a.evidence
    ]


def _check(
    assessment: Assessment, steps: tuple[StepScores, ...]
) -> Iterator[tuple[str, float | str | bool | None]]:
    name = assessment.check.value
    yield name, assessment.probability
    yield f"{name}_reason", assessment.reason
    yield f"{name}_absent", assessment.absent
    found = (s.scores[assessment.check] for s in steps if assessment.check in s.scores)
    yield f"{name}_peak", max(found, default=None)


def _step(scored: StepScores) -> dict[str, Any]:
    step = scored.step
    scores = {check.value: scored.scores.get(check) for check in Check}
    return {"channel": step.channel.value, "start": step.start, "end": step.end, **scores}
