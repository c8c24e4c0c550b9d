"""The public JSON of a verdict: one place for the command line, the API, the sidecar, the store."""

from dataclasses import asdict
from typing import Any

from classifiers.port import Check
from monitor.types import Assessment, Status, StepScores, Verdict

#: What a caller should do, in words, by decision name.
RECOMMENDATION = {
    "allow": "release",
    "flag": "release and have a person review",
    "block": "withhold and have a person review",
}


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict as plain JSON values; holds no text of the trace."""
    decision = verdict.decision.name.lower()
    mismatch = verdict.probability(Check.MISMATCH)
    return {
        "verdict_id": verdict.verdict_id,
        "trace_id": verdict.trace_id,
        "created_at": verdict.created_at,
        "decision": decision,
        "should_block": decision == "block",
        "recommendation": RECOMMENDATION[decision],
        "deception_score": _rounded(verdict.probability(Check.DECEPTION)),
        "dangerous_reasoning_score": _rounded(verdict.probability(Check.DANGEROUS_REASONING)),
        "consistency_score": None if mismatch is None else _rounded(1 - mismatch),
        "unscored": verdict.unscored,
        "failed_open": verdict.failed_open,
        **response_json(verdict),
        "usage": asdict(verdict.usage),
        "mode": verdict.mode.value,
        "policy_rule": verdict.policy_rule or None,
        "checks": {a.check.value: _check_json(verdict, a) for a in verdict.assessments},
        "evidence": [
            {
                "check": a.check.value,
                "channel": e.channel.value,
                "start": e.start,
                "end": e.end,
                "probability": _rounded(e.probability),
            }
            for a in verdict.assessments
            if a.status is Status.SCORED
            for e in a.evidence
        ],
        "steps": [_step_json(s) for s in verdict.steps],
        "disguised_characters": verdict.disguised,
        "versions": {
            "subtext": verdict.versions.subtext,
            "model": verdict.versions.model,
            "calibration": verdict.versions.calibration,
            "policy": verdict.versions.policy,
        },
        "timings_ms": {k: round(v, 3) for k, v in verdict.timings_ms.items()},
    }


def _check_json(verdict: Verdict, assessment: Assessment) -> dict[str, Any]:
    limits = verdict.thresholds.get(assessment.check)
    return {
        "status": assessment.status.value,
        "probability": _rounded(assessment.probability),
        "reason": assessment.reason,
        "flags_from": limits.flag if limits else None,
        "blocks_from": limits.block if limits else None,
    }


def response_json(verdict: Verdict) -> dict[str, Any]:
    """Return what a verdict says about the response as a whole, all choices together."""
    stop = verdict.early_stop
    return {
        "coverage_gaps": [gap.value for gap in verdict.gaps],
        "early_stop": None if stop is None else asdict(stop),
    }


def _step_json(scored: StepScores) -> dict[str, Any]:
    step = scored.step
    scores = {check.value: _rounded(p) for check, p in scored.scores.items()}
    return {"channel": step.channel.value, "start": step.start, "end": step.end, **scores}


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 4)
