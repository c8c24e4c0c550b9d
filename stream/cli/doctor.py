"""`subtext doctor`: whether the thinking of a server can be seen at all."""

import asyncio
import os
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from dashboard.inert import visible
from monitor.engine import Engine
from monitor.gaps import MEANING, gaps
from monitor.policy import Policy
from monitor.types import Channel, Gap, Mode, Trace, Verdict
from stream.cli.options import PolicyFile, fail, is_web_address, open_classifier, read_policy
from stream.cli.tls import UpstreamCa, UpstreamCert, UpstreamKey, upstream_tls
from stream.probe import Finding, Probe, ProbeError


class Health(IntEnum):
    """What `subtext doctor` exits with; 64 when there was no answer to look at."""

    WELL = 0
    THINKING_INVISIBLE = 1


def doctor(
    upstream: Annotated[str, typer.Option(help="Server to look at: http://host:8000")],
    model: Annotated[
        str, typer.Option(help="Model to ask. Default: the first that the server lists.")
    ] = "",
    api_key_env: Annotated[
        str, typer.Option(help="Name of the environment variable that holds the API key.")
    ] = "",
    starts_in_thinking: Annotated[
        bool,
        typer.Option("--starts-in-thinking", help="The chat template opens the thinking itself."),
    ] = False,
    upstream_ca: UpstreamCa = None,
    upstream_cert: UpstreamCert = None,
    upstream_key: UpstreamKey = None,
    policy: PolicyFile = None,
    classifier: Annotated[
        Path | None,
        typer.Option(
            envvar="SUBTEXT_MODEL", help="Folder of the classifiers. Default: the one that ships."
        ),
    ] = None,
) -> None:
    """Ask a server one small question and say what Subtext can see of its answer.

    Subtext judges thinking that it can read. Run this before `subtext serve`: it sends one
    streaming request straight to the server and reports the dialect, the fields that carried
    thinking and answer, the time to the first text, and what the policy would have decided.

    Nothing is recorded. The API key is read from the environment, so that it stands in no shell
    history:

    subtext doctor --upstream https://api.example.com --model m --api-key-env MY_KEY

    Exit code: 0 thinking is visible, 1 it is not, 64 the server could not be asked.
    """
    if not is_web_address(upstream):
        raise fail(f"--upstream must be an http:// or https:// address, not {upstream!r}.")
    key = os.environ.get(api_key_env, "") if api_key_env else ""
    if api_key_env and not key:
        raise fail(f"The environment variable {api_key_env} is not set.")
    tls = upstream_tls(upstream, upstream_ca, upstream_cert, upstream_key)
    probe = Probe(
        upstream=upstream,
        model=model,
        key=key,
        starts_in_thinking=starts_in_thinking,
        tls=tls.context if tls else None,
    )
    raise typer.Exit(asyncio.run(_examine(probe, policy, classifier)))


async def _examine(probe: Probe, policy: Path | None, folder: Path | None) -> Health:
    try:
        finding = await probe.run()
    except ProbeError as error:
        raise fail(visible(str(error))) from error
    console = Console(highlight=False)
    _tell_answer(console, finding)
    judge = open_classifier(folder)
    rules = read_policy(policy, dict(judge.thresholds))
    try:
        engine = Engine(classifier=judge, policy=rules, record=_forget)
        held = rules.resolve(finding.trace)
        _tell_verdict(console, await engine.judge(finding.trace), held)
    finally:
        await judge.aclose()
    return _tell_health(console, finding)


async def _forget(_verdict: Verdict, _trace: Trace) -> None:
    """Record nothing: this is no response to a user."""


def _tell_answer(console: Console, finding: Finding) -> None:
    how = "streamed" if finding.streamed else "not streamed although asked to"
    first = "none" if finding.first_text is None else f"after {finding.first_text:.2f} s"
    _line(console, "reachable", f"{finding.url}, model {finding.model or 'not named'}")
    _line(console, "dialect", f"{finding.dialect}, {how}")
    for channel in (Channel.THINKING, Channel.ANSWER):
        size = len(finding.trace.text(channel))
        places = ", ".join(finding.fields.get(channel, ())) or "nowhere"
        _line(console, channel.value, f"{size} characters in {places}")
    _line(console, "first text", f"{first}; all of it after {finding.total:.2f} s")
    if (reasoning := finding.disclosure.usage.reasoning_tokens) is not None:
        _line(console, "reported", f"{reasoning} tokens of thinking")
    if finding.problem:
        _line(console, "unreadable", finding.problem)


_HELD = {
    Mode.OBSERVE: "nothing is held back",
    Mode.HOLD: "each text waits until its step is judged, the answer until all thinking is",
    Mode.BUFFER: "nothing passes before the whole verdict",
}


def _tell_verdict(console: Console, verdict: Verdict, policy: Policy) -> None:
    scores = (f"{a.check.value} {_score(a.probability)}" for a in verdict.assessments)
    if policy.rule:
        _line(console, "policy", f"rule {policy.rule}")
    _line(console, "held", f"mode {policy.mode.value}: {_HELD[policy.mode]}")
    _line(
        console, "judged", f"{len(verdict.steps)} steps in {verdict.timings_ms['scoring']:.0f} ms"
    )
    _line(console, "decision", f"{verdict.decision.name.lower()} ({', '.join(scores)})")
    if verdict.unscored:
        _line(console, "unscored", verdict.unscored)


def _score(probability: float | None) -> str:
    return "not judged" if probability is None else f"{probability:.3f}"


def _tell_health(console: Console, finding: Finding) -> Health:
    unseen = gaps(finding.trace)
    for gap in unseen:
        _line(console, "not seen", MEANING[gap])
    if finding.trace.thinking:
        said = "The thinking is visible; Subtext can judge it." if not unseen else _PARTLY
        _line(console, "result", said)
        return Health.WELL
    _line(console, "result", _why_invisible(unseen))
    return Health.THINKING_INVISIBLE


_PARTLY = "Thinking is visible, but not all of it."


def _why_invisible(unseen: Sequence[Gap]) -> str:
    if unseen:
        return "The server thinks, and its thinking cannot be judged as such."
    return (
        "No thinking was seen. Either the model does not think, or the server drops it: vLLM and "
        "SGLang need --reasoning-parser, some servers an option of the request."
    )


def _line(console: Console, title: str, text: str) -> None:
    console.print(Text(f"{title:<12}", style="bold"), Text(visible(text)), soft_wrap=True)
