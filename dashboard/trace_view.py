"""What the page of one verdict shows, worked out from what the store holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifiers.port import Check, Thresholds
from dashboard.chart import Chart, chart
from dashboard.spans import NAMES, WINDOW, Cue, Span, cues, spans
from monitor.store.rows import StoredVerdict
from monitor.types import Channel, Decision, Trace, Verdict

#: Evidence of each check listed above the text; the rest is marked in the text all the same.
MAX_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """One channel's text, or the part of it that fits a page."""

    channel: str
    spans: list[Span]
    first: int
    last: int
    total: int

    @property
    def judged(self) -> bool:
        """Whether any of it was: the rest is then worth a mark of its own."""
        return any(span.scores for span in self.spans)

    @property
    def complete(self) -> bool:
        """Whether all of the text is here."""
        return self.last - self.first == self.total

    @property
    def earlier(self) -> int | None:
        """Where the part before begins."""
        return max(self.first - WINDOW, 0) if self.first else None

    @property
    def later(self) -> int | None:
        """Where the part after begins."""
        return self.last if self.last < self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """One check's result."""

    check: Check
    name: str
    probability: float | None
    reason: str
    thresholds: Thresholds | None

    @property
    def level(self) -> str:
        """How far it went: `over-block`, `over-flag`, `under`, or `none`."""
        if self.probability is None:
            return "none"
        if self.thresholds is None or self.probability < self.thresholds.flag:
            return "under"
        return "over-block" if self.probability >= self.thresholds.block else "over-flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceView:
    """Everything on the page; the panes are empty once the text was erased."""

    checks: list[CheckView]
    cues: list[Cue]
    chart: Chart | None
    panes: dict[str, Pane]
    prompt: str

    @property
    def listed(self) -> list[Cue]:
        """The strongest evidence of each check, in reading order."""
        strongest = sorted(self.cues, key=lambda cue: -cue.probability)
        kept = (
            c for check in Check for c in [c for c in strongest if c.check is check][:MAX_LISTED]
        )
        return sorted(kept, key=lambda cue: cue.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One check: as it is recorded, and as another model has it. None where it was not scored."""

    name: str
    recorded: float | None
    now: float | None

    @property
    def change(self) -> float | None:
        """By how much the probability differs."""
        if self.recorded is None or self.now is None:
            return None
        return self.now - self.recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What another model says of the trace, beside what is recorded."""

    model: str
    pairs: list[Pair]
    decision: Decision
    #: Why it could not judge all of it.
    unscored: str | None

    @classmethod
    def of(cls, stored: StoredVerdict, verdict: Verdict) -> "Again":
        """Put a new verdict beside the recorded one."""
        recorded: Mapping[str, Any] = stored.document["checks"]
        now = {a.check: a.probability for a in verdict.assessments}
        return cls(
            model=verdict.versions.model,
            pairs=[
                Pair(name=NAMES[c], recorded=recorded[c.value]["probability"], now=now.get(c))
                for c in Check
            ],
            decision=verdict.decision,
            unscored=verdict.unscored,
        )


def trace_view(
    stored: StoredVerdict, thresholds: Mapping[Check, Thresholds], first: Mapping[str, int]
) -> TraceView:
    """Work out the page; `first` says where each channel's window begins.

    `thresholds` are those of the policy now, for records from before they named their own.
    """
    thresholds = _thresholds(stored.document) or thresholds
    checks = [_check(stored.document, check, thresholds.get(check)) for check in Check]
    trace = stored.trace
    if trace is None:
        return TraceView(checks=checks, cues=[], chart=None, panes={}, prompt="")
    document = stored.document
    found = cues(document)
    panes = (_pane(trace, c, document["steps"], found, first.get(c, 0)) for c in Channel)
    return TraceView(
        checks=checks,
        cues=found,
        chart=chart(document, found, thresholds),
        panes={pane.channel: pane for pane in panes},
        prompt=trace.prompt,
    )


def _thresholds(document: Mapping[str, Any]) -> Mapping[Check, Thresholds]:
    """From where each check flagged and blocked when the verdict was made, if it says so."""
    found = ((check, document["checks"][check.value]) for check in Check)
    return {
        check: Thresholds(flag=told["flags_from"], block=told["blocks_from"])
        for check, told in found
        if told.get("flags_from") is not None
    }


def _check(document: Mapping[str, Any], check: Check, thresholds: Thresholds | None) -> CheckView:
    result = document["checks"][check.value]
    return CheckView(
        check=check,
        name=NAMES[check],
        probability=result["probability"],
        reason=result["reason"],
        thresholds=thresholds,
    )


def _pane(
    trace: Trace,
    channel: Channel,
    steps: Sequence[Mapping[str, Any]],
    found: Sequence[Cue],
    first: int,
) -> Pane:
    text = trace.text(channel)
    first = first if first < len(text) else 0
    last = min(first + WINDOW, len(text))
    own_steps = [s for s in steps if s["channel"] == channel]
    own_cues = [c for c in found if c.channel == channel]
    return Pane(
        channel=channel.value,
        spans=spans(text, own_steps, own_cues, first, last),
        first=first,
        last=last,
        total=len(text),
    )
