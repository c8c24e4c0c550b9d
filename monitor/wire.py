"""The public JSON of a verdict: one place for the command line, the API, the sidecar, the store."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from classifiers.port import Check, Thresholds
from monitor.tally import ABSENT
from monitor.types import (
    Assessment,
    Channel,
    Decision,
    EarlyStop,
    Evidence,
    Gap,
    Mode,
    Status,
    Step,
    StepScores,
    Usage,
    Verdict,
    Versions,
)

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
        "usage": {
            "output_tokens": verdict.usage.output_tokens,
            "reasoning_tokens": verdict.usage.reasoning_tokens,
        },
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
        "steps": [step_json(s) for s in verdict.steps],
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


def step_json(scored: StepScores) -> dict[str, Any]:
    """Return where a step stands in its channel, and its scores by check."""
    step = scored.step
    scores = {check.value: _rounded(p) for check, p in scored.scores.items()}
    return {"channel": step.channel.value, "start": step.start, "end": step.end, **scores}


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 4)


def verdict_from_json(document: Mapping[str, Any]) -> Verdict:
    """The verdict that `verdict_json` wrote: probabilities rounded, steps without their text.

    Raises KeyError, TypeError or ValueError when it wrote nothing like this.
    """
    checks, stop = document["checks"], document["early_stop"]
    return Verdict(
        verdict_id=document["verdict_id"],
        trace_id=document["trace_id"],
        decision=Decision[document["decision"].upper()],
        mode=Mode(document["mode"]),
        assessments=tuple(_assessment(check, document) for check in Check),
        steps=tuple(_step(at, found) for at, found in enumerate(document["steps"])),
        versions=Versions(**document["versions"]),
        created_at=document["created_at"],
        timings_ms=document["timings_ms"],
        failed_open=document["failed_open"],
        policy_rule=document["policy_rule"] or "",
        thresholds={c: t for c in Check if (t := _thresholds(checks[c.value])) is not None},
        gaps=tuple(Gap(name) for name in document["coverage_gaps"]),
        usage=Usage(**document["usage"]),
        early_stop=None if stop is None else EarlyStop(**stop),
    )


def _assessment(check: Check, document: Mapping[str, Any]) -> Assessment:
    found = document["checks"][check.value]
    status, reason = Status(found["status"]), found["reason"]
    return Assessment(
        check=check,
        status=status,
        probability=found["probability"],
        reason=reason,
        absent=status is Status.UNSCORED and reason in ABSENT,
        evidence=tuple(
            Evidence(
                channel=Channel(e["channel"]),
                start=e["start"],
                end=e["end"],
                probability=e["probability"],
            )
            for e in document["evidence"]
            if e["check"] == check.value
        ),
    )


def _step(index: int, found: Mapping[str, Any]) -> StepScores:
    channel = Channel(found["channel"])
    step = Step(index=index, channel=channel, start=found["start"], end=found["end"], text="")
    return StepScores(step=step, scores={c: found[c.value] for c in Check if c.value in found})


def _thresholds(found: Mapping[str, Any]) -> Thresholds | None:
    if found["flags_from"] is None:
        return None
    return Thresholds(flag=found["flags_from"], block=found["blocks_from"])
