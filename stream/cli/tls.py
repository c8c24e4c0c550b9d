"""The options of TLS, and what they open."""

import ssl
from pathlib import Path
from typing import Annotated

import typer

from stream.cli.options import fail

_PANEL = "TLS"

TlsCert = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_TLS_CERT",
        help="Serve the sidecar over TLS with this certificate (PEM, with its chain).",
        rich_help_panel=_PANEL,
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_TLS_KEY",
        help="Its key. Default: in the file of the certificate.",
        rich_help_panel=_PANEL,
    ),
]
TlsClientCa = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_TLS_CLIENT_CA",
        help="Let only clients in whose certificate this authority signed (mTLS).",
        rich_help_panel=_PANEL,
    ),
]
UpstreamCa = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_UPSTREAM_CA",
        help="Authority that signs the upstream's certificate, in place of the system's.",
        rich_help_panel=_PANEL,
    ),
]
UpstreamCert = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_UPSTREAM_CERT",
        help="Certificate to show to the upstream (mTLS).",
        rich_help_panel=_PANEL,
    ),
]
UpstreamKey = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_UPSTREAM_KEY",
        help="Its key. Default: in the file of the certificate.",
        rich_help_panel=_PANEL,
    ),
]


def sidecar_tls(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> ssl.SSLContext | None:
    """How the sidecar shows itself; None for plain HTTP."""
    from stream.tls import TlsError, serving  # noqa: PLC0415 -- half of a command's start-up time

    if certificate is None:
        if key or client_ca:
            raise fail("--tls-key and --tls-client-ca need --tls-cert.")
        return None
    try:
        return serving(certificate, key, client_ca)
    except TlsError as error:
        raise fail(f"TLS: {error}") from error


def upstream_tls(
    upstream: str | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext | None:
    """How the upstream is checked and what it is shown; None for the system's way."""
    from stream.tls import TlsError, asking  # noqa: PLC0415 -- half of a command's start-up time

    if key and not certificate:
        raise fail("--upstream-key needs --upstream-cert.")
    if (ca or certificate) and not (upstream or "").startswith("https://"):
        raise fail("--upstream-ca and --upstream-cert need an --upstream that is https://.")
    try:
        return asking(ca, certificate, key)
    except TlsError as error:
        raise fail(f"TLS towards the upstream: {error}") from error
