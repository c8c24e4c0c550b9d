"""`subtext check`: judge saved responses."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from monitor.dialects import BadRecord, read_saved
from monitor.engine import Engine
from monitor.policy import Policy, rule
from monitor.recording import recorder
from monitor.types import Decision, Status, Trace, Verdict
from monitor.wire import verdict_json
from stream.cli.options import ModelDir, PolicyFile, fail, open_classifier, open_store, read_policy
from stream.cli.report import print_verdict


class ExitCode(IntEnum):
    """What `subtext check` exits with: of several traces, the first in this order of weight."""

    ALLOW = 0
    FLAG = 1
    BLOCK = 2
    COULD_NOT_JUDGE = 3


_WEIGHT = (ExitCode.ALLOW, ExitCode.FLAG, ExitCode.COULD_NOT_JUDGE, ExitCode.BLOCK)


def check(
    file: Annotated[str, typer.Argument(help="A saved response, or `-` for standard input.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each verdict as one line of JSON.")
    ] = False,
    policy: PolicyFile = None,
    model: ModelDir = None,
    record: Annotated[
        str, typer.Option(help="Audit store to record in; by default nothing is kept.")
    ] = "sqlite://",
    route: Annotated[
        str, typer.Option(help="Judge by the policy's rules for this path: /v1/messages.")
    ] = "",
    tenant: Annotated[str, typer.Option(help="Judge by the policy's rules for this tenant.")] = "",
) -> None:
    """Judge a trace and show the steps that caused the verdict.

    Reads our trace JSON or JSONL ({"prompt", "thinking", "answer"}), saved Chat Completions,
    Responses and Anthropic Messages replies, saved event streams, and plain text with
    <think>…</think>.

    Rules of the policy go by the route, model and tenant that a trace names; --route and --tenant
    stand in where it names none.

    Exit code: 0 allow, 1 flag, 2 block, 3 could not judge; 64 when it could not start.
    """
    found = (_placed(r, route, tenant) for r in read_saved(_read(file), source=file))
    code = asyncio.run(_check(found, file, as_json=as_json, options=(policy, model, record)))
    raise typer.Exit(code)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}.") from error


def _placed(record: Trace | BadRecord, route: str, tenant: str) -> Trace | BadRecord:
    """The same, as if it had answered `route` for `tenant`, unless it says where it comes from."""
    if isinstance(record, BadRecord):
        return record
    return replace(record, route=record.route or route, tenant=record.tenant or tenant)


async def _check(
    records: Iterable[Trace | BadRecord],
    source: str,
    *,
    as_json: bool,
    options: tuple[Path | None, Path | None, str],
) -> ExitCode:
    policy, model, record = options
    classifier, store = open_classifier(model), open_store(record)
    rules = read_policy(policy, dict(classifier.thresholds))
    engine = Engine(classifier=classifier, policy=rules, record=recorder(store))
    try:
        codes = [c async for c in _judged(engine, records, as_json)]
    finally:
        await classifier.aclose()
        store.close()
    if not codes:
        typer.secho(f"{source} holds no trace.", fg=typer.colors.RED, err=True)
    return max(codes, key=_WEIGHT.index, default=ExitCode.COULD_NOT_JUDGE)


async def _judged(
    engine: Engine, records: Iterable[Trace | BadRecord], as_json: bool
) -> AsyncIterator[ExitCode]:
    console = Console()
    for record in records:
        if isinstance(record, BadRecord):
            typer.secho(f"line {record.line}: {record.reason}", fg=typer.colors.RED, err=True)
            yield ExitCode.COULD_NOT_JUDGE
            continue
        policy, verdict = engine.policy.resolve(record), await engine.judge(record)
        if as_json:
            typer.echo(json.dumps(verdict_json(verdict)))
        else:
            print_verdict(console, record, verdict, policy)
        yield exit_code(verdict, policy)


def exit_code(verdict: Verdict, policy: Policy) -> ExitCode:
    """A score that blocks counts even when another check could not be made."""
    scored = (rule(policy, a) for a in verdict.assessments if a.status is Status.SCORED)
    if max(scored, default=Decision.ALLOW) is Decision.BLOCK:
        return ExitCode.BLOCK
    return ExitCode.COULD_NOT_JUDGE if verdict.unscored else ExitCode(int(verdict.decision))
