"""Options that let a provider of identities vouch for the people of the dashboard."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from monitor.accounts import Role
from monitor.single_sign_on import Provider, is_safe
from stream.cli.options import fail

_PANEL = "Signing in by OpenID Connect"

OidcIssuer: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="SUBTEXT_OIDC_ISSUER",
        help="Let people sign in by this provider: its issuer, to the letter, as in "
        "ISSUER/.well-known/openid-configuration. Everybody logs in then, also while there is no "
        "user. Register DASHBOARD-URL/login/callback there as redirect URI.",
        rich_help_panel=_PANEL,
    ),
]
OidcClient: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="SUBTEXT_OIDC_CLIENT_ID",
        help="What the provider calls this server.",
        rich_help_panel=_PANEL,
    ),
]
OidcSecret: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_OIDC_CLIENT_SECRET_FILE",
        help="File with the client's secret; none for a public client.",
        rich_help_panel=_PANEL,
    ),
]
OidcScope: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="SUBTEXT_OIDC_SCOPE",
        help="What to ask for; some providers list groups only when asked for `groups` too.",
        rich_help_panel=_PANEL,
    ),
]
OidcClaim: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="SUBTEXT_OIDC_CLAIM",
        help="Claim of the ID token that lists somebody's groups; dots lead into objects: "
        "realm_access.roles.",
        rich_help_panel=_PANEL,
    ),
]
OidcRole: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SUBTEXT_OIDC_ROLE",
        help="A group and its role: safety-leads=lead. Can be repeated; the highest counts, at "
        "every sign-in anew.",
        rich_help_panel=_PANEL,
    ),
]
OidcDefault: TypeAlias = Annotated[
    Role | None,
    typer.Option(
        envvar="SUBTEXT_OIDC_DEFAULT_ROLE",
        help="Role of who is in none of these groups. Without it they are refused.",
        rich_help_panel=_PANEL,
    ),
]
OidcOnly: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--oidc-only",
        envvar="SUBTEXT_OIDC_ONLY",
        help="Take no passwords any more.",
        rich_help_panel=_PANEL,
    ),
]


def provider_of(
    *,
    issuer: str,
    client_id: str,
    secret_file: Path | None,
    scope: str,
    claim: str,
    roles: list[str] | None,
    default: Role | None,
    only: bool,
    dashboard_url: str,
) -> Provider | None:
    """The provider that the options name, or stop with the reason why it cannot be used."""
    if not issuer:
        if client_id or roles or default or only:
            raise fail("The --oidc options go with --oidc-issuer.")
        return None
    _check(issuer, client_id, scope, dashboard_url)
    if not roles and default is None:
        raise fail("Nobody would get in: say --oidc-role GROUP=ROLE, or --oidc-default-role.")
    return Provider(
        issuer=issuer,
        client_id=client_id,
        client_secret=_secret(secret_file) if secret_file else None,
        redirect_uri=f"{dashboard_url.rstrip('/')}/login/callback",
        scope=scope,
        claim=claim,
        roles=dict(map(_role, roles or ())),
        default=default,
        only=only,
    )


def _check(issuer: str, client_id: str, scope: str, dashboard_url: str) -> None:
    if not client_id or not dashboard_url:
        raise fail("--oidc-issuer needs --oidc-client-id and --dashboard-url.")
    if not is_safe(issuer) or not is_safe(dashboard_url):
        raise fail("--oidc-issuer and --dashboard-url must be https:// addresses then.")
    if "openid" not in scope.split():
        raise fail("--oidc-scope must hold openid.")


def _role(text: str) -> tuple[str, Role]:
    group, _, role = text.rpartition("=")
    if not group or role not in list(Role):
        raise fail(f"--oidc-role: say GROUP=ROLE, with one of {', '.join(Role)}.")
    return group, Role(role)


def _secret(file: Path) -> str:
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise fail(f"--oidc-client-secret-file: {file} cannot be read.") from error
    if not secret:
        raise fail(f"--oidc-client-secret-file: {file} is empty.")
    return secret
