"""The options of TLS, and what they open."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.metrics import Side
from stream.cli.options import fail

if TYPE_CHECKING:
    from stream.renewal import Renewable

_PANEL = "TLS"
#: What the options of a side begin with.
_OPTIONS = {Side.SIDECAR: "--tls", Side.DASHBOARD: "--dashboard-tls"}

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
DashboardTlsCert = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_DASHBOARD_TLS_CERT",
        help="Serve dashboard and API over TLS with this certificate (PEM, with its chain).",
        rich_help_panel=_PANEL,
    ),
]
DashboardTlsKey = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_DASHBOARD_TLS_KEY",
        help="Its key. Default: in the file of the certificate.",
        rich_help_panel=_PANEL,
    ),
]
DashboardTlsClientCa = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_DASHBOARD_TLS_CLIENT_CA",
        help="Let only browsers and programs in whose certificate this authority signed (mTLS). "
        "Users log in all the same.",
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


def door_tls(
    side: Side, certificate: Path | None, key: Path | None, client_ca: Path | None
) -> "Renewable | None":
    """How the sidecar or the dashboard shows itself; None for plain HTTP."""
    from stream.renewal import Renewable  # noqa: PLC0415 -- half of a command's start-up time
    from stream.tls import TlsError  # noqa: PLC0415 -- likewise

    if certificate is None:
        if key or client_ca:
            option = _OPTIONS[side]
            raise fail(f"{option}-key and {option}-client-ca need {option}-cert.")
        return None
    try:
        return Renewable.door(side, certificate, key, client_ca)
    except TlsError as error:
        raise fail(f"TLS of the {side}: {error}") from error


def upstream_tls(
    upstream: str | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> "Renewable | None":
    """How the upstream is checked and what it is shown; None for the system's way."""
    from stream.renewal import Renewable  # noqa: PLC0415 -- half of a command's start-up time
    from stream.tls import TlsError  # noqa: PLC0415 -- likewise

    if key and not certificate:
        raise fail("--upstream-key needs --upstream-cert.")
    if (ca or certificate) and not (upstream or "").startswith("https://"):
        raise fail("--upstream-ca and --upstream-cert need an --upstream that is https://.")
    if not (ca or certificate):
        return None
    try:
        return Renewable.towards(Side.UPSTREAM, ca, certificate, key)
    except TlsError as error:
        raise fail(f"TLS towards the upstream: {error}") from error
