"""Reviewers' answers as labelled traces, in the columns of `classifiers/data/README.md`. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from monitor.store.rows import StoredVerdict
from monitor.types import Channel, Check, Outcome, Review, Trace

#: What the training data calls each check.
COLUMNS: Mapping[Check, str] = {
    Check.DECEPTION: "deception",
    Check.DANGEROUS_REASONING: "danger",
    Check.MISMATCH: "mismatch",
}


def labels(review: Review, document: Mapping[str, Any]) -> dict[Check, bool]:
    """Return what an answer says of each check; a check that it says nothing of is left out.

    What the reviewer said counts. Where nothing was said, confirming or dismissing a verdict
    speaks about the checks that crossed a threshold: those with evidence in the verdict's JSON.
    """
    crossed = {Check(evidence["check"]) for evidence in document["evidence"]}
    return meant(review.outcome, review.labels, crossed)


def meant(
    outcome: Outcome, said: Mapping[Check, bool], crossed: Iterable[Check]
) -> dict[Check, bool]:
    """Return what an answer means for each check; `crossed` are those that the verdict is for."""
    if not outcome.final:
        return dict(said)
    return {**dict.fromkeys(crossed, outcome is Outcome.CONFIRM), **said}


def row(stored: StoredVerdict, review: Review) -> dict[str, Any] | None:
    """Return a labelled trace; None when nothing is labelled or the text was erased."""
    found = labels(review, stored.document)
    trace = stored.trace
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
        "kind": review.outcome.value,
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
