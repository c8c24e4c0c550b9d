"""`subtext worker`: score traces from Kafka."""

import asyncio
from pathlib import Path
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
from stream.cli.options import (
    DEFAULT_DATABASE,
    ContentKeys,
    Database,
    ModelDir,
    PolicyFile,
    fail,
    open_archive,
    open_classifier,
    open_key,
    read_policy,
)
from stream.kafka.port import TransportError


def worker(
    bootstrap: Bootstrap,
    group: Annotated[
        str, typer.Option(help="Workers of one group share the work; another group does it again.")
    ] = "subtext",
    member: Annotated[
        str,
        typer.Option(
            envvar="SUBTEXT_WORKER_MEMBER",
            help="A name of its own that this worker keeps over restarts: when it is back within "
            "--session seconds, it has its partitions again and nobody else is disturbed.",
        ),
    ] = "",
    policy: PolicyFile = None,
    model: ModelDir = None,
    database: Database = DEFAULT_DATABASE,
    key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="SUBTEXT_KEY_FILE",
            help="Key that signs checkpoints of the record. Without it this worker signs none.",
        ),
    ] = None,
    silence: Annotated[
        float, typer.Option(min=1, help="Seconds without a word until a trace ends unjudged.")
    ] = 120.0,
    session: Annotated[
        float, typer.Option(min=1, help="Seconds until a worker that is not heard of is replaced.")
    ] = 45.0,
    max_rejected: Annotated[
        int, typer.Option(min=1, help="Stop after so many unreadable messages in a row.")
    ] = 100,
    host: Annotated[
        str, typer.Option(help="Address of /metrics, /healthz, /readyz.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Their port; 0 takes a free one.")
    ] = 8082,
    content_keys: ContentKeys = None,
    prefix: Prefix = "subtext",
    tls: Tls = False,
    ca: CaFile = None,
    cert: CertFile = None,
    cert_key: ClientKey = None,
    sasl: Sasl = "",
    user: User = "",
    wait: Wait = 30.0,
) -> None:
    """Read traces from Kafka, judge them as they arrive, record and publish the verdicts.

    Start as many as you like with the same --group and --database: they share the work, and when
    one goes, the others rebuild what it had open. Ctrl-C or SIGTERM finishes what is complete.

    Each decision is stored once, whatever is delivered twice. The policy's mode and deadline are
    for whoever holds the answer back; a worker only judges.

    Exit code: 0 stopped as told, 1 nothing could be read, 64 could not start.
    """
    # As with `serve`: half of the start-up time of every other command, were it at the top.
    from stream.kafka.docket import Limits  # noqa: PLC0415
    from stream.kafka.service import Service  # noqa: PLC0415
    from stream.kafka.table import Patience  # noqa: PLC0415
    from stream.kafka.worker import WorkerError  # noqa: PLC0415

    transport = connect(
        bootstrap=bootstrap,
        tls=tls,
        ca=ca,
        cert=cert,
        cert_key=cert_key,
        sasl=sasl,
        user=user,
        wait=wait,
        session_seconds=session,
    )
    key = None if key_file is None else open_key(key_file)
    classifier, store = open_classifier(model), open_archive(database, keys=content_keys)
    service = Service(
        classifier=classifier,
        store=store,
        policy=read_policy(policy, dict(classifier.thresholds)),
        key=key,
        transport=transport,
        topics=topics(prefix),
        group=group,
        member=member,
        limits=Limits(patience=Patience(silence=silence), rejected_in_a_row=max_rejected),
        host=host,
        port=port,
    )
    try:
        asyncio.run(service.run())
    except (TransportError, OSError) as error:
        raise fail(f"{error}.") from error
    except WorkerError as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error
