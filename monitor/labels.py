"""Reviewers' answers as labelled traces, in the columns of `classifiers/data/README.md`. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.opinions import meant
from monitor.store.rows import StoredReview, StoredVerdict
from monitor.types import Channel, Check, Outcome, Standing, Trace

#: What the training data calls each check.
COLUMNS: Mapping[Check, str] = {
    Check.DECEPTION: "deception",
    Check.DANGEROUS_REASONING: "danger",
    Check.MISMATCH: "mismatch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What people agreed on about a verdict, and who they are."""

    outcome: Outcome
    #: What was said of checks.
    said: Mapping[Check, bool]
    #: `one` person; two who `agreed`; who settled what was `escalated`; a third, where two had
    #: answered differently: `adjudicated`.
    how: str
    by: tuple[str, ...]


def settled(history: Sequence[StoredReview]) -> Settled:
    """Work out what the answers to a verdict, oldest first and at least one, come to."""
    last, before = history[-1], history[-2] if len(history) > 1 else None
    now, how = last.review, _HOW.get(before.standing if before else None, "one")
    if before is None or how != "agreed":
        return Settled(outcome=now.outcome, said=now.labels, how=how, by=(now.reviewer,))
    both = (before.review.reviewer, now.reviewer)
    said = {**before.review.labels, **now.labels}
    return Settled(outcome=now.outcome, said=said, how=how, by=both)


#: By where the answer before left the verdict.
_HOW: Mapping[Standing | None, str] = {
    Standing.SECOND: "agreed",
    Standing.DISPUTE: "adjudicated",
    Standing.ESCALATE: "escalated",
}


def labels(found: Settled, document: Mapping[str, Any]) -> dict[Check, bool]:
    """Return what answers say of each check; a check that they say nothing of is left out.

    What reviewers said counts. Where nothing was said, confirming or dismissing a verdict
    speaks about the checks that crossed a threshold: those with evidence in the verdict's JSON.
    """
    crossed = {Check(evidence["check"]) for evidence in document["evidence"]}
    return meant(found.outcome, found.said, crossed)


def row(stored: StoredVerdict, history: Sequence[StoredReview]) -> dict[str, Any] | None:
    """Return a labelled trace; None when nothing is labelled or the text was erased."""
    decided, trace = settled(history), stored.trace
    found = labels(decided, stored.document)
    if trace is None or not found:
        return None
    return {
        "id": stored.row.verdict_id,
        "source": "reviews",
        "license": "own traffic",
        "group": trace.conversation_id or trace.trace_id,
        "prompt": trace.prompt,
        "thinking": trace.thinking,
        "answer": trace.answer,
        "kind": decided.outcome.value,
        "decided": decided.how,
        "decided_by": list(decided.by),
        **{name: int(found[c]) if c in found else None for c, name in COLUMNS.items()},
        "evidence": _evidence(trace, stored.document, found),
    }


def _evidence(trace: Trace, document: Mapping[str, Any], found: Mapping[Check, bool]) -> list[str]:
    """The steps of the thinking that made a check cross, where a person says it is there."""
    spans = {
        (e["start"], e["end"])
        for e in document["evidence"]
        if e["channel"] == Channel.THINKING.value and found.get(Check(e["check"]))
    }
    return [trace.thinking[start:end] for start, end in sorted(spans)]
