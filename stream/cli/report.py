"""A verdict for people at a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboard.inert import visible
from monitor.gaps import MEANING
from monitor.policy import Policy, reach
from monitor.types import Assessment, Check, Decision, Status, StepScores, Trace, Verdict

_COLOUR = {Decision.ALLOW: "green", Decision.FLAG: "yellow", Decision.BLOCK: "red"}
#: Steps without a score worth showing are folded to one line when there are more than this.
_CONTEXT = 1


def print_verdict(console: Console, trace: Trace, verdict: Verdict, policy: Policy) -> None:
    """Print the decision, the scores, and the steps that caused them in their surroundings."""
    style = f"bold {_COLOUR[verdict.decision]}"
    head = Text(verdict.decision.name, style=style)
    head.append(f"  {visible(trace.trace_id)}  {verdict.verdict_id}", style="dim")
    console.print(head)
    if verdict.unscored:
        console.print(Text(f"Could not be judged: {visible(verdict.unscored)}.", style="bold red"))
    if policy.rule:
        console.print(Text(f"By rule {visible(policy.rule)} of the policy.", style="dim"))
    for gap in verdict.gaps:
        console.print(Text(f"Not seen ({gap.value}): {MEANING[gap]}", style="bold yellow"))
    console.print(_scores(verdict, policy))
    for line in _steps(trace, verdict, policy):
        console.print(line)
    console.print()


def _scores(verdict: Verdict, policy: Policy) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("check", "probability", "flags from", "blocks from"):
        table.add_column(title, justify="left" if title == "check" else "right")
    for assessment in verdict.assessments:
        limits = policy.thresholds[assessment.check]
        table.add_row(
            assessment.check.value,
            _probability(assessment, policy),
            f"{limits.flag:.3f}",
            f"{limits.block:.3f}",
        )
    return table


def _probability(assessment: Assessment, policy: Policy) -> Text:
    if assessment.status is Status.UNSCORED or assessment.probability is None:
        return Text(assessment.reason, style="dim")
    reached = reach(policy, assessment.check, assessment.probability)
    return Text(f"{assessment.probability:.3f}", style=_COLOUR[reached])


def _steps(trace: Trace, verdict: Verdict, policy: Policy) -> list[Text]:
    """The evidence steps and their neighbours; what lies between is counted."""
    causes = _causes(verdict)
    shown = {i + d for i in causes for d in range(-_CONTEXT, _CONTEXT + 1)}
    lines: list[Text] = []
    skipped, channel = 0, None
    for scored in verdict.steps:
        if scored.step.index not in shown:
            skipped += 1
            continue
        if skipped:
            lines.append(Text(f"  … {skipped} steps …", style="dim"))
        if scored.step.channel is not channel:
            channel = scored.step.channel
            lines.append(Text(channel.value.replace("_", " "), style="bold underline"))
        lines.append(_step(trace, scored, causes.get(scored.step.index, ()), policy))
        skipped = 0
    if skipped and lines:
        lines.append(Text(f"  … {skipped} steps …", style="dim"))
    return lines


def _causes(verdict: Verdict) -> dict[int, list[Check]]:
    places = {(s.step.channel, s.step.start): s.step.index for s in verdict.steps}
    causes: dict[int, list[Check]] = {}
    for assessment in verdict.assessments:
        for evidence in assessment.evidence:
            causes.setdefault(places[evidence.channel, evidence.start], []).append(assessment.check)
    return causes


def _step(trace: Trace, scored: StepScores, checks: Sequence[Check], policy: Policy) -> Text:
    step = scored.step
    words = visible(trace.text(step.channel)[step.start : step.end].strip())
    if not checks:
        return Text(f"  {words}", style="dim")
    worst = max(reach(policy, c, scored.scores[c]) for c in checks)
    labels = ", ".join(f"{c.value} {scored.scores[c]:.3f}" for c in checks)
    line = Text("▌ ", style=_COLOUR[worst])
    line.append(words, style=f"bold {_COLOUR[worst]}")
    return line.append(f"  [{labels}]", style=_COLOUR[worst])
