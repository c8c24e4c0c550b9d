"""The options of `subtext serve` for a gate elsewhere, and what they open."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.kafka_options import PASSWORD, connect, topics
from stream.cli.options import fail

if TYPE_CHECKING:
    from stream.kafka.gate import Gate

_PANEL = "Gate over Kafka"


class GateKind(StrEnum):
    """Where responses are judged."""

    LOCAL = "local"
    KAFKA = "kafka"


Kind = Annotated[
    GateKind,
    typer.Option(
        "--gate",
        envvar="SUBTEXT_GATE",
        help="Who judges: this process (local), or workers behind Kafka. Give those the same "
        "--policy and --database.",
        rich_help_panel=_PANEL,
    ),
]
GateBootstrap = Annotated[
    str,
    typer.Option(
        "--bootstrap",
        envvar="SUBTEXT_KAFKA",
        help="The brokers' addresses: host:9092, several with commas.",
        rich_help_panel=_PANEL,
    ),
]
GatePrefix = Annotated[
    str,
    typer.Option(
        "--kafka-prefix",
        envvar="SUBTEXT_KAFKA_PREFIX",
        help="What the topics' names begin with.",
        rich_help_panel=_PANEL,
    ),
]
GateTls = Annotated[
    bool,
    typer.Option(
        "--kafka-tls",
        envvar="SUBTEXT_KAFKA_TLS",
        help="Speak TLS to the brokers.",
        rich_help_panel=_PANEL,
    ),
]
GateCa = Annotated[
    Path | None,
    typer.Option(
        "--kafka-ca",
        envvar="SUBTEXT_KAFKA_CA",
        help="PEM file with who signed the brokers' certificates.",
        rich_help_panel=_PANEL,
    ),
]
GateCert = Annotated[
    Path | None,
    typer.Option(
        "--kafka-cert",
        envvar="SUBTEXT_KAFKA_CERT",
        help="PEM file with our own certificate (mTLS).",
        rich_help_panel=_PANEL,
    ),
]
GateCertKey = Annotated[
    Path | None,
    typer.Option(
        "--kafka-cert-key",
        envvar="SUBTEXT_KAFKA_CERT_KEY",
        help="PEM file with its key.",
        rich_help_panel=_PANEL,
    ),
]
GateSasl = Annotated[
    str,
    typer.Option(
        "--kafka-sasl",
        envvar="SUBTEXT_KAFKA_SASL",
        help=f"SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN; the password is read from {PASSWORD}.",
        rich_help_panel=_PANEL,
    ),
]
GateUser = Annotated[
    str,
    typer.Option(
        "--kafka-user",
        envvar="SUBTEXT_KAFKA_USER",
        help="User name for it.",
        rich_help_panel=_PANEL,
    ),
]
GateWait = Annotated[
    float,
    typer.Option(
        "--kafka-wait",
        min=0.5,
        envvar="SUBTEXT_KAFKA_WAIT",
        help="Seconds until brokers that do not answer count as down: then messages go to --spool "
        "and the policy says what becomes of responses.",
        rich_help_panel=_PANEL,
    ),
]
SpoolFolder = Annotated[
    Path,
    typer.Option(
        "--spool",
        envvar="SUBTEXT_SPOOL",
        help="Folder for messages that the brokers do not take; of this process alone. It holds "
        "text under review.",
        rich_help_panel=_PANEL,
    ),
]
SpoolMib = Annotated[
    int,
    typer.Option(
        "--spool-mib", min=1, help="MiB that may be in that folder.", rich_help_panel=_PANEL
    ),
]
DEFAULT_SPOOL = Path("subtext.spool")


def open_gate(
    *,
    bootstrap: str,
    prefix: str,
    tls: bool,
    ca: Path | None,
    cert: Path | None,
    cert_key: Path | None,
    sasl: str,
    user: str,
    wait: float,
    spool: Path,
    spool_mib: int,
) -> "Gate":
    """The gate over Kafka; stops with the reason when the options cannot be meant."""
    if not bootstrap:
        raise fail("--gate kafka needs the brokers' address: --bootstrap host:9092.")
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
    from stream.kafka.gate import Gate  # noqa: PLC0415 -- slow to import

    return Gate(
        transport=transport,
        topics=topics(prefix),
        spool=spool,
        spool_bytes=spool_mib * 1024 * 1024,
    )
