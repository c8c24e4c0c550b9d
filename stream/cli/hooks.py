"""Options that say who is told of blocks, escalations and gaps."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from monitor.hooks import secret_of
from stream.cli.options import fail, is_web_address
from stream.hooks import Hook

_PANEL = "Messages"

Webhook: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SUBTEXT_WEBHOOK",
        help="Tell this address of blocks, escalations and gaps: ids, scores and a link, no "
        "text. Signed as Standard Webhooks has it. Can be repeated.",
        rich_help_panel=_PANEL,
    ),
]
WebhookSecret: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_WEBHOOK_SECRET_FILE",
        help="File with the secret that signs them: whsec_ and the base64 of 24 to 64 bytes.",
        rich_help_panel=_PANEL,
    ),
]
SlackWebhook: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SUBTEXT_SLACK_WEBHOOK",
        help="Likewise, as a message to an incoming webhook of Slack, Mattermost or the like. The "
        "address is a secret: better give it by the variable.",
        rich_help_panel=_PANEL,
    ),
]


def told_to(
    webhooks: list[str] | None, secret_file: Path | None, slack: list[str] | None, console: str
) -> tuple[Hook, ...]:
    """The hooks that the options name, or stop with the reason why they cannot be used."""
    for address in (*(webhooks or ()), *(slack or ()), *([console] if console else ())):
        if not is_web_address(address):
            raise fail("Webhooks and --dashboard-url are http:// or https:// addresses.")
    if webhooks and secret_file is None:
        raise fail("--webhook needs --webhook-secret-file: unsigned, anybody could send the same.")
    secret = _secret(secret_file) if secret_file else None
    signed = (Hook(url=url, secret=secret) for url in webhooks or ())
    return (*signed, *(Hook(url=url, secret=None) for url in slack or ()))


def _secret(file: Path) -> bytes:
    try:
        return secret_of(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise fail(f"--webhook-secret-file: {file}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """Why, without what was in the file."""
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return "it must hold whsec_ and the base64 of 24 to 64 bytes"
