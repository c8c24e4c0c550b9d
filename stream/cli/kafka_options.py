"""Options of all commands that speak to Kafka."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.options import fail
from stream.kafka.settings import Settings
from stream.kafka.topics import Topics

if TYPE_CHECKING:
    from stream.kafka.port import Transport

#: Never on a command line: those are seen by every user of a machine.
PASSWORD = "SUBTEXT_KAFKA_PASSWORD"  # noqa: S105

Bootstrap = Annotated[
    str,
    typer.Option(
        envvar="SUBTEXT_KAFKA", help="The brokers' addresses: host:9092, several with commas."
    ),
]
Prefix = Annotated[
    str,
    typer.Option(
        envvar="SUBTEXT_KAFKA_PREFIX",
        help="Topics are PREFIX.traces, PREFIX.verdicts and PREFIX.deadletter.",
    ),
]
Tls = Annotated[
    bool, typer.Option("--tls", envvar="SUBTEXT_KAFKA_TLS", help="Speak TLS to the brokers.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        envvar="SUBTEXT_KAFKA_CA",
        help="PEM file with who signed the brokers' certificates; implies --tls.",
    ),
]
CertFile = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        envvar="SUBTEXT_KAFKA_CERT",
        help="PEM file with our own certificate (mTLS); implies --tls.",
    ),
]
ClientKey = Annotated[
    Path | None,
    typer.Option(
        "--cert-key", envvar="SUBTEXT_KAFKA_CERT_KEY", help="PEM file with the key of --cert."
    ),
]
Sasl = Annotated[
    str,
    typer.Option(
        envvar="SUBTEXT_KAFKA_SASL",
        help=f"SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN; the password is read from {PASSWORD}.",
    ),
]
User = Annotated[str, typer.Option(envvar="SUBTEXT_KAFKA_USER", help="User name for --sasl.")]
Wait = Annotated[
    float,
    typer.Option(
        min=0.5, envvar="SUBTEXT_KAFKA_WAIT", help="Seconds until brokers that do not answer fail."
    ),
]


def connect(
    *,
    bootstrap: str,
    tls: bool,
    ca: Path | None,
    cert: Path | None,
    cert_key: Path | None,
    sasl: str,
    user: str,
    wait: float,
    session_seconds: float = 45.0,
) -> "Transport":
    """A way to the brokers; stops with the reason when the options cannot be meant."""
    try:
        from stream.kafka.client import Kafka  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise fail("Kafka needs an extra: pip install 'subtext[kafka]'.") from error
    try:
        settings = Settings(
            bootstrap=bootstrap,
            tls=tls,
            ca_file=ca,
            cert_file=cert,
            key_file=cert_key,
            sasl_mechanism=sasl,
            username=user,
            password=os.environ.get(PASSWORD, ""),
            session_seconds=session_seconds,
            delivery_seconds=wait,
        )
    except ValueError as error:
        raise fail(f"{error}.") from error
    return Kafka(settings)


def topics(prefix: str) -> Topics:
    """The topics with this prefix."""
    return Topics.under(prefix)
