"""`subtext topics`: make what workers read and write."""

from typing import Annotated

import typer

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
from stream.kafka.port import TransportError

app = typer.Typer(no_args_is_help=True, help="Make the topics that workers read and write.")


@app.callback()
def _group() -> None:
    """Keep `create` a command of its own."""


@app.command()
def create(
    bootstrap: Bootstrap,
    partitions: Annotated[
        int, typer.Option(min=1, help="Of traces and verdicts: at most so many workers share them.")
    ] = 12,
    days: Annotated[int, typer.Option(min=1, help="How long messages are kept.")] = 7,
    prefix: Prefix = "subtext",
    tls: Tls = False,
    ca: CaFile = None,
    cert: CertFile = None,
    cert_key: ClientKey = None,
    sasl: Sasl = "",
    user: User = "",
    wait: Wait = 30.0,
) -> None:
    """Create the topics that are missing; what is there stays as it is.

    PREFIX.traces holds what models write, PREFIX.progress how far it is judged where a sidecar
    waits, PREFIX.verdicts what was concluded, PREFIX.deadletter what could not be read and why.
    """
    wanted = topics(prefix)
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
    try:
        made = transport.create(wanted.to_create(partitions=partitions, days=days))
    except TransportError as error:
        raise fail(f"{error}.") from error
    for name in wanted.all:
        typer.echo(f"{name}: {'created' if name in made else 'was there'}")
