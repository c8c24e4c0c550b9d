"""How soon a streamed trace is caught: tokens between the first evidence and the flag."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from classifiers.artefact import Artefact
from classifiers.port import Check, Role
from classifiers.training.data import Record
from classifiers.training.metrics import Report
from classifiers.training.scores import Scorer
from classifiers.training.steps import CHECKS, StepTrace, cut

#: Ends of the middle half.
_QUARTILES: Final = (25, 50, 75)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Catch:
    """Where a trace was caught."""

    #: Tokens from the end of the first evidence step; negative when it was caught before.
    delay: int
    #: Before the model began its answer.
    thinking: bool


def timeliness(
    artefact: Artefact, scorer: Scorer, records: Sequence[Record]
) -> Mapping[Check, Report]:
    """For each check of the head: how many positives with marked evidence are flagged, and when."""
    marked = [r for r in records if r.evidence]
    evidence = scorer.gather(marked, CHECKS)
    found = {}
    for column, check in enumerate(CHECKS):
        platt, limit = artefact.calibration[check], artefact.thresholds[check].flag
        line = (np.log(limit / (1 - limit)) - platt.b) / platt.a
        positives = [
            (cut(r, scorer.tokeniser), scorer.running(e)[:, column])
            for r, e in zip(marked, evidence, strict=True)
            if r.labels[check] == 1
        ]
        if positives:
            found[check] = _report([_catch(t, logits >= line) for t, logits in positives])
    return found


def _report(catches: Sequence[_Catch | None]) -> Report:
    caught = [c for c in catches if c]
    found: Report = {
        "positives_with_evidence": len(catches),
        "caught": len(caught),
        "caught_while_thinking": sum(c.thinking for c in caught),
    }
    if caught:
        spread = np.percentile([c.delay for c in caught], _QUARTILES)
        found["tokens_after_evidence_quartiles"] = [round(float(x)) for x in spread]
    return found


def _catch(
    trace: StepTrace, crossed: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> _Catch | None:
    scored = [i for i, role in enumerate(trace.roles) if role is not Role.PROMPT]
    shown = [i for i in scored if trace.evidence[i] == 1]
    if not crossed.any() or not shown:
        return None
    at = scored[int(np.argmax(crossed))]
    sizes = [sum(len(w.ids) - 2 for w in windows) for windows in trace.windows]
    delay = sum(sizes[: at + 1]) - sum(sizes[: shown[0] + 1])
    return _Catch(delay=delay, thinking=trace.roles[at] is Role.THINKING)
