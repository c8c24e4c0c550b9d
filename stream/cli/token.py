"""`subtext token`: how programs get at the API once users exist."""

import secrets
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from monitor.accounts import Scope, Token, is_name
from monitor.clock import utc_now
from monitor.credentials import digest, new_token
from stream.cli.options import DEFAULT_DATABASE, Database, fail
from stream.cli.user import accounts_of

app = typer.Typer(no_args_is_help=True, help="How programs get at the API once users exist.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is for, such as `nightly-export`.")],
    scope: Annotated[
        list[Scope],
        typer.Option(help="score: POST /v1/score. verdicts: GET /v1/verdicts. Can be repeated."),
    ],
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Make a token and print it: it is not kept and cannot be shown again.

    Programs send it as `authorization: Bearer TOKEN`.
    """
    if not is_name(name):
        raise fail("A name has up to 64 lower case letters, digits, and . _ - @ after the first.")
    token = Token(
        token_id=secrets.token_hex(4),
        name=name,
        scopes=frozenset(scope),
        created_at=utc_now(),
        revoked=False,
    )
    secret = new_token(token.token_id)
    with accounts_of(database, must_exist=False) as accounts:
        accounts.add_token(token, digest(secret))
        needed = accounts.anyone()
    typer.echo(secret)
    if not needed:
        typer.echo("No user exists yet: until one does, the API asks nobody for it.", err=True)


@app.command("list")
def list_tokens(database: Database = DEFAULT_DATABASE) -> None:
    """Show the tokens and what each may do, without their secrets."""
    with accounts_of(database) as accounts:
        found = accounts.tokens()
    if not found:
        typer.echo("No tokens.")
        return
    table = Table("Id", "Name", "Scopes", "Since", "")
    for token in found:
        scopes = " ".join(sorted(token.scopes))
        state = "revoked" if token.revoked else ""
        table.add_row(token.token_id, token.name, scopes, token.created_at[:10], state)
    Console().print(table)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="As `subtext token list` shows it.")],
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Let the holder of a token in no more."""
    with accounts_of(database) as accounts:
        accounts.revoke_token(token_id, at=utc_now())
    typer.echo(f"Revoked {token_id}.")
