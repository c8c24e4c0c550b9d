"""`subtext tail`: follow verdicts in the terminal."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from dashboard.inert import visible
from stream.cli.kafka_options import (
    Bootstrap,
    CaFile,
    CertFile,
    ClientKey,
    Prefix,
    Sasl,
    Tls,
    User,
    Wait,
    connect,
    topics,
)
from stream.cli.options import fail
from stream.kafka import messages
from stream.kafka.messages import Unreadable, VerdictMessage
from stream.kafka.port import Consumer, TransportError

_COLOUR = {"allow": "green", "flag": "yellow", "block": "red"}
_SCORES = (
    ("deception", "deception_score"),
    ("danger", "dangerous_reasoning_score"),
    ("consistency", "consistency_score"),
)


def tail(
    bootstrap: Bootstrap,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest verdict that is kept.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many; 0 follows for ever.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each verdict as one line of JSON.")
    ] = False,
    prefix: Prefix = "subtext",
    tls: Tls = False,
    ca: CaFile = None,
    cert: CertFile = None,
    cert_key: ClientKey = None,
    sasl: Sasl = "",
    user: User = "",
    wait: Wait = 30.0,
) -> None:
    """Print verdicts as workers publish them, one a line. Ctrl-C stops.

    A verdict may come twice when a worker was replaced; its id is then the same.
    """
    transport = connect(
        bootstrap=bootstrap,
        tls=tls,
        ca=ca,
        cert=cert,
        cert_key=cert_key,
        sasl=sasl,
        user=user,
        wait=wait,
    )
    console = Console(highlight=False)
    try:
        follower = transport.follower([topics(prefix).verdicts], from_start=from_start)
        for number, told in enumerate(_verdicts(follower), 1):
            if as_json:
                typer.echo(json.dumps(told.model_dump()))
            else:
                console.print(_line(told), soft_wrap=True)
            if number == limit:
                break
        follower.close()
    except TransportError as error:
        raise fail(f"{error}.") from error


def _verdicts(follower: Consumer) -> Iterator[VerdictMessage]:
    while True:
        for message in follower.poll(0.5, at_most=500).messages:
            try:
                yield messages.read_verdict(message)
            except Unreadable as error:
                typer.secho(f"a message that is no verdict: {error}", err=True)


def _line(told: VerdictMessage) -> Text:
    verdict = told.verdict
    decision = _word(verdict, "decision")
    line = Text(f"{_word(verdict, 'created_at')}  ", style="dim")
    line.append(f"{decision.upper():<6}", style=f"bold {_COLOUR.get(decision, '')}")
    for name, key in _SCORES:
        line.append(f"  {name} {_score(verdict.get(key))}")
    line.append(f"  {visible(told.trace_id)}", style="bold")
    line.append(f"  {visible(told.model)}" if told.model else "")
    line.append(f"  {_word(verdict, 'verdict_id')}", style="dim")
    if verdict.get("unscored"):
        line.append(f"  not judged: {_word(verdict, 'unscored')}", style="red")
    return line


def _word(verdict: dict[str, Any], key: str) -> str:
    """A value as one harmless line."""
    return visible(" ".join(str(verdict.get(key, "")).split()))


def _score(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "-"
